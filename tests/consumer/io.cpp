// The component io with all of its libraries: a file that is not there is a clear error.

#include <cstdio>

#include <tessera/io/decode_image.hpp>
#include <tessera/io/tokenizer.hpp>

int main() {
  try {
    tessera::io::decode_image("nowhere.png");
    tessera::io::Tokenizer::from_folder("nowhere").encode("");
  } catch (const tessera::Error& error) {
    std::printf("%s\n", error.what());
  }
}
