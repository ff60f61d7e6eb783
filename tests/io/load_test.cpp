#include "tessera/io/load.hpp"

#include <string>
#include <vector>

#include "tessera/layer/linear.hpp"
#include "tessera/ops/reference.hpp"

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_folder.hpp"

using namespace tessera;

namespace {

const std::vector<float> numbers{1, 2, 3, 4, 5, 6.00390625f};

io::TensorView tensor(const std::string& name, std::vector<std::int64_t> shape, DType dtype = DType::f32) {
  std::size_t bytes = size_of(dtype);
  for (const std::int64_t d : shape) bytes *= static_cast<std::size_t>(d);
  return {name, dtype, std::move(shape), std::as_bytes(std::span(numbers)).first(bytes)};
}

/// Loads a layer from a folder with these tensors; returns what went wrong.
template <class L>
std::string load(L& layer, const std::vector<io::TensorView>& tensors, const io::NameMap& names, WeightStore& store) {
  const test::TemporaryFolder folder;
  io::write_safetensors(folder.path / "model.safetensors", tensors);
  return test::error_message([&] {
    const io::Checkpoint& checkpoint = store.keep(io::Checkpoint::open(folder.path));
    ops::Reference<float> ops;
    const io::WeightSource source{"folder", &checkpoint, names};
    io::load_weights(layer, std::span(&source, 1), ops, store);
  });
}

const io::NameMap renamed{{{"", "model.fc."}}, {"inv_freq"}};

}  // namespace

TEST_CASE("weights get the file's values, in their own format") {
  WeightStore store;
  Linear<> same(3, 2, false);
  REQUIRE(load(same, {tensor("model.fc.weight", {2, 3}), tensor("rope.inv_freq", {1})}, renamed, store).empty());
  CHECK(static_cast<const float*>(same.weight.data())[5] == 6.00390625f);

  Linear<dyn, dyn, bf16> rounded(3, 2, false);
  REQUIRE(load(rounded, {tensor("model.fc.weight", {2, 3})}, renamed, store).empty());
  CHECK(bf16::decode(static_cast<const std::uint16_t*>(rounded.weight.data())[5]) == 6.0f);
}

TEST_CASE("one error lists all missing, misshapen, mistyped and unused tensors, and nothing is loaded") {
  WeightStore store;
  Linear<> layer(3, 2, true);
  const std::string error =
      load(layer, {tensor("model.fc.weight", {3, 2}), tensor("model.other", {1})}, renamed, store);
  CHECK(error.find("'model.fc.weight' has the shape [3, 2], expected [2, 3]") != std::string::npos);
  CHECK(error.find("'model.fc.bias' is missing, expected [2]") != std::string::npos);
  CHECK(error.find("'model.other' is not used by the model") != std::string::npos);
  CHECK_FALSE(static_cast<bool>(layer.weight.view()));

  Linear<> typed(1, 2, false);
  CHECK(load(typed, {tensor("model.fc.weight", {2, 1}, DType::i32)}, renamed, store)
            .find("has the type i32, expected f32, bf16 or f16") != std::string::npos);
  CHECK(load(typed, {tensor("x", {1})}, io::NameMap{{{"head.", "x."}}, {}}, store)
            .find("'weight' has no place in these files") != std::string::npos);
}
