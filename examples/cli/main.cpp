// tessera: the command-line tool. An example that uses public headers only.

#include <cstdio>
#include <exception>
#include <new>

#include <CLI/CLI.hpp>

#include "cli/commands.hpp"

namespace {

constexpr int failed = 1, wrong_usage = 2;

int report(const char* message) {
  std::fflush(stdout);
  std::fprintf(stderr, "tessera: %s\n", message);
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Vision-language models on the CPU");
  app.set_version_flag("--version", "tessera " TESSERA_VERSION);
  app.require_subcommand(1);
  tessera::cli::add_ask(app);
  tessera::cli::add_tokenize(app);
  tessera::cli::add_pixels(app);
  tessera::cli::add_inspect(app);
  tessera::cli::add_scenes(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : wrong_usage;
  } catch (const std::bad_alloc&) {
    return report("out of memory");
  } catch (const std::exception& error) {
    return report(error.what());
  }
}
