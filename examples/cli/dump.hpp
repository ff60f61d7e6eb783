#pragma once
// The files of `ask --dump`.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/image_processor.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::cli {

class Dump {
 public:
  /// An empty folder name: nothing is wanted.
  explicit Dump(std::filesystem::path folder) : folder_(std::move(folder)) {
    if (wanted()) io::make_folder(folder_);
  }
  bool wanted() const { return !folder_.empty(); }

  /// [images, 3, height, width]
  void pixels(const std::vector<io::Pixels>& images) const {
    std::vector<float> values;
    for (const io::Pixels& image : images) values.insert(values.end(), image.values.begin(), image.values.end());
    const io::Pixels& first = images.front();
    write("pixel_values", DType::f32,
          {static_cast<std::int64_t>(images.size()), first.channels, first.height, first.width}, values);
  }

  /// [rows, cols], or [parts, rows / parts, cols] for several parts.
  void rows(const std::string& name, Mat<const float> matrix, int parts) const {
    std::vector<float> values;
    for (int r = 0; r < matrix.rows; ++r) values.insert(values.end(), matrix.row(r), matrix.row(r) + matrix.cols);
    std::vector<std::int64_t> shape{matrix.rows / parts, matrix.cols};
    if (parts > 1) shape.insert(shape.begin(), parts);
    write(name, DType::f32, shape, values);
  }

  void ids(const std::string& name, std::span<const int> ids) const {
    const std::vector<std::int64_t> values(ids.begin(), ids.end());
    write(name, DType::i64, {static_cast<std::int64_t>(values.size())}, values);
  }

 private:
  template <class T>
  void write(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape,
             const std::vector<T>& values) const {
    io::write_npy(folder_ / (name + ".npy"), dtype, shape, std::as_bytes(std::span(values)));
  }

  std::filesystem::path folder_;
};

}  // namespace tessera::cli
