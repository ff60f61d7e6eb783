// The program of the README: asks a LLaVA-1.5 about a photo. Usage: readme MODEL_FOLDER PHOTO QUESTION
// README: begin
#include <iostream>
#include <string>
#include <vector>

#include <tessera/hub/llava.hpp>  // Hugging Face folders: link tessera::io
#include <tessera/hub/llava_folder.hpp>
#include <tessera/tessera.hpp>  // the rest needs a compiler and OpenMP

using namespace tessera;

void ask(const std::string& path, const std::string& photo, const std::string& question) {
  const auto folder = hub::LlavaFolder::open(path);  // config, tokenizer, image processor, prompt format
  ops::Native ops;                                   // or Reference, OneDnn, EigenOps: the same model runs through each
  WeightStore store;                                 // owns the weights
  const auto model = hub::load_llava<Llava15<>>(path, folder.config, folder.config.stored, ops, store);

  const std::string prompt = folder.format(std::vector{io::Turn{"user", folder.with_images(question, 1)}});
  const std::vector<int> ids = folder.prompt_ids(prompt, 1, model.image_tokens());
  const GenerateOptions options{.max_new = 200, .end_ids = folder.generation.eos};
  const int tokens = static_cast<int>(ids.size()) + options.max_new;

  Session session(model, ops, {.images = 1, .tokens = tokens});  // plans its memory once
  session.encode(folder.pixels(photo).values);
  io::TokenStream text(folder.tokenizer);
  generate(session, session.prefill(ids), ids, options, [&](int id) {
    std::cout << text.push(id) << std::flush;
    return true;  // go on
  });
  std::cout << text.finish() << "\n";
}
// README: end

int main(int argc, char** argv) try {
  if (argc != 4) fail("usage: readme MODEL_FOLDER PHOTO QUESTION");
  ask(argv[1], argv[2], argv[3]);
} catch (const Error& error) {
  std::cerr << "readme: " << error.what() << "\n";
  return 1;
}
