// tessera: the command-line tool. An example that uses public headers only.

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "cli/commands.hpp"

namespace {

constexpr int failed = 1, wrong_usage = 2;

int report(const char* message) {
  std::fflush(stdout);
  std::fprintf(stderr, "tessera: %s\n", message);
  return failed;
}

/// Output that did not arrive (a full disk) is a failure, whoever printed it.
int finish() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  const std::string reason = errno != 0 ? std::generic_category().message(errno) : "unknown error";
  return report(("standard output: cannot be written: " + reason).c_str());
}

/// OpenMP's threads spin while they wait for each other. Beside another program that keeps the cores busy, that makes a
/// small model a hundred times slower, so here they sleep unless the user says otherwise. OpenMP reads its variables
/// before main(): the program starts once more.
void let_waiting_threads_sleep(char** argv) {
  constexpr const char* variable = "OMP_WAIT_POLICY";
  if (std::getenv(variable) != nullptr || ::setenv(variable, "passive", 0) != 0) return;
  ::execv("/proc/self/exe", argv);  // comes back only if it could not: then they spin
}

/// CLI11's message, and what was typed in place of a command.
std::string usage_message(const CLI::App* app, const CLI::Error& error) {
  const std::string message = CLI::FailureMessage::simple(app, error);
  const auto unknown = app->remaining();
  return unknown.empty() || !app->get_subcommands().empty() ? message
                                                            : "'" + unknown.front() + "' is unknown. " + message;
}

}  // namespace

int main(int argc, char** argv) {
  let_waiting_threads_sleep(argv);
  CLI::App app("Vision-language models on the CPU");
  app.set_version_flag("--version", "tessera " TESSERA_VERSION);
  app.require_subcommand(1);
  app.failure_message(usage_message);
  tessera::cli::add_ask(app);
  tessera::cli::add_tokenize(app);
  tessera::cli::add_pixels(app);
  tessera::cli::add_inspect(app);
  tessera::cli::add_scenes(app);
  tessera::cli::add_train(app);
  try {
    app.parse(argc, argv);
    return finish();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? finish() : wrong_usage;
  } catch (const std::bad_alloc&) {
    return report("out of memory");
  } catch (const std::exception& error) {
    return report(error.what());
  }
}
