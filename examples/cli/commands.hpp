#pragma once
// The subcommands of the tool. Each adds itself to the parser; its work runs when the parser has chosen it.

namespace CLI {
class App;
}

namespace tessera::cli {

void add_ask(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_pixels(CLI::App& app);
void add_inspect(CLI::App& app);
void add_scenes(CLI::App& app);
void add_train(CLI::App& app);

}  // namespace tessera::cli
