#pragma once
/// Data sets of scenes on disk: `data.json` in LLaVA's conversation format, and the images.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include "tessera/io/atomic_file.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/io/png.hpp"

#include "dataset.hpp"

namespace tessera::scenes {

/// `png`: images/000000.png …, named after the scene's number. `npy`: all in images.npy, uint8 [count, height, width,
/// 3], in the order of data.json.
enum class ImageFiles : std::uint8_t { png, npy };

/// Writes `count` samples from scene number `first` on into `folder`, which is made. `data.json` comes last: where it
/// is, the data set is complete.
inline void write_dataset(const DatasetOptions& options, std::uint64_t first, std::size_t count, ImageFiles files,
                          const std::filesystem::path& folder) {
  validate(options);
  io::make_folder(files == ImageFiles::png ? folder / "images" : folder);
  std::error_code absent;
  std::filesystem::remove(folder / "data.json", absent);
  std::vector<std::uint8_t> pixels;
  nlohmann::ordered_json records = nlohmann::ordered_json::array();
  for_each_sample(options, first, count, [&](const Sample& sample) {
    const io::Image image = render(sample.scene);
    if (files == ImageFiles::npy) {
      pixels.insert(pixels.end(), image.rgb.begin(), image.rgb.end());
    } else {
      io::write_png(folder / "images" / image_name(sample.index), image);
    }
    records.push_back(to_json(sample, options.scene.split));
  });
  if (files == ImageFiles::npy) {
    const std::array<std::int64_t, 4> shape = {static_cast<std::int64_t>(count), options.scene.height,
                                               options.scene.width, 3};
    io::write_npy<std::uint8_t>(folder / "images.npy", shape, pixels);
  }
  io::AtomicFile data(folder / "data.json");
  data.write(records.dump(1) + "\n");
  data.commit();
}

}  // namespace tessera::scenes
