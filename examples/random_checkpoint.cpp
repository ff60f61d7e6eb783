// Writes a LLaVA-1.5 folder of any published size with random weights, so that speed and memory of the real shapes can
// be measured without a download:
//
//     random_checkpoint --tokenizer examples/models/llava15-scenes --out /tmp/llava-8 --language-depth 8
//     tessera ask --model /tmp/llava-8 --image photo.jpg --prompt "What is this?" --max-new 16
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "tessera/hub/llava.hpp"
#include "tessera/hub/llava_folder.hpp"
#include "tessera/language/presets.hpp"
#include "tessera/model/normal.hpp"
#include "tessera/vision/presets.hpp"

using namespace tessera;

namespace {

struct Options {
  std::string out, tokenizer, dtype = "bf16";
  int language_depth = 32, vision_depth = 24;
  bool large = false;  // 13B instead of 7B
};

hub::LlavaConfig<> config_of(const Options& options) {
  using Tower = presets::ClipL14_336;
  hub::LlavaConfig<> config;
  config.vision = {Tower::image_size,    Tower::patch_size, Tower::width,    Tower::heads,
                   options.vision_depth, Tower::inner,      Tower::norm_eps, Tower::act};
  config.text.vocab = 32064;  // as llava-hf pads it
  config.text.depth = options.language_depth;
  config.text.norm_eps = presets::Vicuna7B::norm_eps;
  config.text.max_positions = presets::Vicuna7B::max_positions;
  if (options.large)
    config.text.width = presets::Vicuna13B::width, config.text.inner = presets::Vicuna13B::inner,
    config.text.heads = presets::Vicuna13B::heads;
  config.selection.layers = {-1};  // with the last block, which files have and LLaVA does not run
  return config;
}

/// Every tensor is a piece of one block of normal numbers, gains are ones: no time and memory go into dice.
class RandomTensors {
 public:
  RandomTensors(DType dtype, std::size_t largest) : dtype_(dtype), normal_(largest * size_of(dtype)), ones_(1 << 16) {
    SplitMix64 source(1);
    std::vector<float> period(1 << 20);
    for (float& value : period) value = 0.02f * static_cast<float>(normal(source));
    with_format(dtype, [&]<class To>(To) {
      auto* values = reinterpret_cast<typename To::storage*>(normal_.data());
      for (std::size_t i = 0; i < largest; ++i) values[i] = To::encode(period[i % period.size()]);
      for (std::size_t i = 0; i < ones_.size() / sizeof(typename To::storage); ++i)
        reinterpret_cast<typename To::storage*>(ones_.data())[i] = To::encode(1);
    });
  }

  template <class W>
  void add(const std::string& name, const W& weight) {
    const bool gain = W::use == WeightUse::vector && name.ends_with("weight");
    tensors_.push_back(
        {name, dtype_, weight.file_shape(), std::span(gain ? ones_ : normal_).first(weight.size() * size_of(dtype_))});
  }
  std::span<const io::TensorView> tensors() const { return tensors_; }

 private:
  DType dtype_;
  std::vector<std::byte> normal_, ones_;
  std::vector<io::TensorView> tensors_;
};

void write_text(const std::filesystem::path& path, const io::json& content) {
  io::AtomicFile file(path);
  file.write(content.dump(2) + "\n");
  file.commit();
}

void write_configs(const Options& options, const hub::LlavaConfig<>& config, int image_token) {
  const std::string dtype = options.dtype == "bf16" ? "bfloat16" : options.dtype == "f16" ? "float16" : "float32";
  const auto& v = config.vision;
  const auto& t = config.text;
  write_text(std::filesystem::path(options.out) / "config.json", {{"architectures", {"LlavaForConditionalGeneration"}},
                                                                  {"model_type", "llava"},
                                                                  {"torch_dtype", dtype},
                                                                  {"image_token_index", image_token},
                                                                  {"projector_hidden_act", "gelu"},
                                                                  {"vision_feature_layer", -2},
                                                                  {"vision_feature_select_strategy", "default"},
                                                                  {"text_config",
                                                                   {{"model_type", "llama"},
                                                                    {"vocab_size", t.vocab},
                                                                    {"hidden_size", t.width},
                                                                    {"intermediate_size", t.inner},
                                                                    {"num_hidden_layers", t.depth},
                                                                    {"num_attention_heads", t.heads},
                                                                    {"rms_norm_eps", t.norm_eps},
                                                                    {"max_position_embeddings", t.max_positions}}},
                                                                  {"vision_config",
                                                                   {{"model_type", "clip_vision_model"},
                                                                    {"image_size", v.image_size},
                                                                    {"patch_size", v.patch_size},
                                                                    {"hidden_size", v.width},
                                                                    {"num_attention_heads", v.heads},
                                                                    {"num_hidden_layers", v.depth},
                                                                    {"intermediate_size", v.inner}}}});
  write_text(std::filesystem::path(options.out) / "preprocessor_config.json",
             {{"image_processor_type", "CLIPImageProcessor"},
              {"size", {{"shortest_edge", v.image_size}}},
              {"crop_size", {{"height", v.image_size}, {"width", v.image_size}}},
              {"image_mean", {0.48145466, 0.4578275, 0.40821073}},
              {"image_std", {0.26862954, 0.26130258, 0.27577711}},
              {"resample", 3}});
}

void write_checkpoint(const Options& options) {
  const std::filesystem::path out = options.out, tokenizer = options.tokenizer;
  const hub::LlavaConfig<> config = config_of(options);
  io::make_folder(out);
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"}) {
    if (std::filesystem::exists(tokenizer / name))
      std::filesystem::copy_file(tokenizer / name, out / name, std::filesystem::copy_options::overwrite_existing);
  }
  const auto image_token = io::Tokenizer::from_folder(tokenizer).id_of("<image>");
  if (!image_token) fail(options.tokenizer, ": its tokenizer has no token <image>");
  write_configs(options, config, *image_token);

  const DType dtype = options.dtype == "bf16" ? DType::bf16 : options.dtype == "f16" ? DType::f16 : DType::f32;
  const auto model = hub::build_llava<Llava15<>>(config, {dtype, dtype, dtype});
  RandomTensors random(dtype,
                       static_cast<std::size_t>(config.text.width) * std::max(config.text.vocab, config.text.inner));
  for_each_param(
      [&](const std::string& name, const auto& weight) {
        const std::string_view tower = "vision_tower.";
        random.add(name.starts_with(tower) ? "vision_tower.vision_model." + name.substr(tower.size()) : name, weight);
      },
      model);
  io::write_safetensors(out / "model.safetensors", random.tensors(), {{"format", "pt"}});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a LLaVA-1.5 folder with random weights");
  Options options;
  app.add_option("--out", options.out, "Folder to write")->required();
  app.add_option("--tokenizer", options.tokenizer,
                 "Folder whose tokenizer is copied, for instance examples/models/llava15-scenes")
      ->required();
  app.add_flag("--13b", options.large, "The 13B shape instead of 7B");
  app.add_option("--language-depth", options.language_depth, "Decoder blocks")
      ->check(CLI::Range(1, 40))
      ->capture_default_str();
  app.add_option("--vision-depth", options.vision_depth, "Blocks of the tower")
      ->check(CLI::Range(2, 24))
      ->capture_default_str();
  app.add_option("--dtype", options.dtype, "Format of the weights")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    write_checkpoint(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "random_checkpoint: %s\n", error.what());
    return 1;
  }
}
