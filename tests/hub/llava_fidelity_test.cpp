// Every published LLaVA layout against the reference's numbers: pixels, ids, hidden states, features, logits, text.
// The measured errors are a section of docs/fidelity.md.

#include <iomanip>
#include <sstream>

#include "tessera/model/generate.hpp"
#include "tessera/model/session.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/ops/reference.hpp"

#include "catch.hpp"
#include "hub/llava_cases.hpp"
#include "support/fidelity_document.hpp"

using namespace tessera;
using test::LlavaCase;

namespace {

struct Row {
  std::string name, backend, dtype;
  double noise = 0, pixels = 0, vision = 0, features = 0, logits = 0;
  bool ids = false, text = false, images = false;
};

std::span<const float> flat(Mat<const float> m) { return {m.data, static_cast<std::size_t>(m.rows) * m.cols}; }

template <class Model, class OpsT>
Row run(const LlavaCase& c, const hub::LlavaFolder& folder) {
  Row row{.name = c.name(),
          .backend = OpsT::name,
          .dtype = std::string(name_of(folder.config.stored.language)),
          .noise = c.about["float32_noise"]};
  OpsT ops;
  WeightStore store;
  const Model model = hub::load_llava<Model>(c.model(), folder.config, folder.config.stored, ops, store);

  std::vector<float> pixels;
  for (const auto& image : c.about.value("images", std::vector<std::string>{})) {
    const io::Pixels p = folder.pixels(c.folder / image);
    pixels.insert(pixels.end(), p.values.begin(), p.values.end());
  }
  const std::size_t images = pixels.size() / model.vision.pixels();
  row.images = images > 0;
  const std::vector<int> ids = folder.prompt_ids(c.about["prompt"].get<std::string>(), images, model.image_tokens());
  row.ids = ids == c.ids("input_ids");
  row.pixels = test::relative_max_error(pixels, c.tensor<float>("pixel_values"));

  const int max_new = c.about["max_new"];
  Session<Model, OpsT> session(
      model, ops, {.images = static_cast<int>(images), .tokens = static_cast<int>(ids.size()) + max_new}, 2);
  for (std::size_t i = 0; i < images; ++i)
    session.encode(std::span(pixels).subspan(i * model.vision.pixels(), model.vision.pixels()));
  row.vision = test::relative_max_error(flat(session.vision_hidden()), c.tensor<float>("vision_hidden"));
  row.features = test::relative_max_error(flat(session.image_features()), c.tensor<float>("image_features"));

  std::vector<float> logits(ids.size() * static_cast<std::size_t>(model.language.vocab()));
  const auto last =
      session.prefill(ids, {}, dense(logits.data(), static_cast<int>(ids.size()), model.language.vocab()));
  row.logits = test::relative_max_error(logits, c.tensor<float>("logits"));

  const std::vector<int> answer =
      generate(session, last, ids, {.max_new = max_new, .end_ids = folder.generation.eos}, [](int) { return true; });
  row.text = answer == c.ids("generated_ids") && folder.tokenizer.decode(answer) == c.about["text"].get<std::string>();
  return row;
}

void check(const Row& row) {
  INFO(row.name << " " << row.backend);
  CHECK(row.ids);
  CHECK(row.pixels <= 0);  // the slow processors, bit for bit
  CHECK(row.vision <= test::fidelity_bound);
  CHECK(row.features <= test::fidelity_bound);
  CHECK(row.logits <= test::fidelity_bound);
  CHECK(row.text);
}

void document(const std::vector<Row>& rows) {
  std::ostringstream out;
  out << "Tiny random checkpoints with the full structure, made by transformers (`tests/reference`), against the same "
         "folders run by Tessera.\n"
         "Errors are max |Δ| / max |reference|. The bound is "
      << test::fidelity_bound
      << " for hidden states, features and logits; pixels, token ids and the greedy text must be equal.\n"
         "Noise is the reference's own difference between float32 and float64. 16-bit weights are widened exactly and "
         "computed with in float32,\n"
         "so their bound is the same.\n\n"
         "| case | weights | backend | noise | pixels | vision hidden | image features | logits | ids | text "
         "|\n|---|---|---|---|---|---|---|---|---|---|\n";
  const auto number = test::FidelityDocument::number;
  const auto verdict = [](bool equal) -> std::string { return equal ? "equal" : "differ"; };
  for (const Row& r : rows) {
    const auto of_images = [&](const std::string& result) { return r.images ? result : "–"; };
    const std::string cells[] = {r.name,
                                 r.dtype,
                                 r.backend,
                                 number(r.noise),
                                 of_images(verdict(r.pixels == 0)),
                                 of_images(number(r.vision)),
                                 of_images(number(r.features)),
                                 number(r.logits),
                                 verdict(r.ids),
                                 verdict(r.text)};
    for (const std::string& cell : cells) out << "| " << cell << " ";
    out << "|\n";
  }
  test::FidelityDocument::add("Inference: LLaVA and LLaVA-1.5", out.str());
}

}  // namespace

TEST_CASE("LLaVA folders of every layout give the reference's numbers") {
  std::vector<Row> rows;
  for (const LlavaCase& c : test::llava_cases()) {
    const hub::LlavaFolder folder = c.open();
    hub::with_llava_type(folder.config, [&]<class Model>() {
      rows.push_back(run<Model, ops::Native>(c, folder));
      rows.push_back(run<Model, ops::Reference<float>>(c, folder));
    });
  }
  REQUIRE(rows.size() >= 20);
  for (const Row& row : rows) check(row);
  document(rows);
}
