// tessera tokenize: ids and decoded text of each input line, one JSON object a line.

#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "tessera/io/tokenizer.hpp"

#include "cli/commands.hpp"

namespace tessera::cli {
namespace {

struct TokenizeOptions {
  std::string model, lines, file = "tokenizer";
};

void tokenize(const io::Tokenizer& tokenizer, std::istream& in) {
  for (std::string line; std::getline(in, line);) {
    const std::vector<int> ids = tokenizer.encode(line);
    const io::json result{{"ids", ids}, {"ids_plain", tokenizer.encode(line, false)}, {"text", tokenizer.decode(ids)}};
    std::cout << result.dump(-1, ' ', false, io::json::error_handler_t::replace) << '\n';
  }
}

void run(const TokenizeOptions& options) {
  const io::Tokenizer tokenizer = io::Tokenizer::from_folder(options.model, options.file);
  if (options.lines.empty()) return tokenize(tokenizer, std::cin);
  std::ifstream file(options.lines, std::ios::binary);
  if (!file) fail(options.lines, ": the file of lines cannot be read");
  tokenize(tokenizer, file);
}

}  // namespace

void add_tokenize(CLI::App& app) {
  CLI::App* command = app.add_subcommand("tokenize", "Token ids of each input line, as JSON lines");
  const auto options = std::make_shared<TokenizeOptions>();
  command->add_option("--model", options->model, "Folder with the tokenizer")->required();
  command->add_option("--lines", options->lines, "Text file, one input a line (default: standard input)");
  command->add_option("--file", options->file, "Which tokenizer of the folder")->capture_default_str();
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
