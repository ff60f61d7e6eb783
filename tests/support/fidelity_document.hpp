#pragma once
// docs/fidelity.md: each fidelity test adds a section.

#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <map>
#include <sstream>
#include <string>

namespace tessera::test {

/// Written when the program ends, if TESSERA_FIDELITY_FILE names the file.
class FidelityDocument {
 public:
  /// Sections are in the order of their titles.
  static void add(const std::string& title, const std::string& text) { sections()[title] = text; }

  /// "1.2e-07"
  static std::string number(double value) {
    std::ostringstream text;
    text << std::scientific << std::setprecision(1) << value;
    return text.str();
  }

 private:
  struct Sections : std::map<std::string, std::string> {
    ~Sections() {
      const char* file = std::getenv("TESSERA_FIDELITY_FILE");
      if (file == nullptr || empty()) return;
      std::ofstream out(file);
      out << "# Fidelity\n\nWritten by `test_hub` with `TESSERA_FIDELITY_FILE` set; do not edit.\n";
      for (const auto& [title, text] : *this) out << "\n## " << title << "\n\n" << text;
    }
  };
  static Sections& sections() {
    static Sections all;
    return all;
  }
};

}  // namespace tessera::test
