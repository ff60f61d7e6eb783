// Eigen users: feed pixels from an Eigen matrix and read hidden states as one; nothing is copied.

#include <cstdio>

#include "tessera/interop/eigen.hpp"
#include "tessera/model/initialize.hpp"
#include "tessera/ops/native.hpp"
#include "tessera/vision/vit.hpp"

using namespace tessera;

int main() {
  const ClipVisionConfig config{.image_size = 56, .patch_size = 14, .width = 64, .heads = 4, .depth = 3, .inner = 128};
  ViT<> tower(config);
  ops::Native ops;
  WeightStore store;
  initialize(tower, ops, store, 1);

  // [3 · height, width], channel after channel: what the tower reads, as an Eigen matrix.
  const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> image =
      Eigen::MatrixXf::Random(3 * 56, 56);
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> hidden(tower.tokens(), tower.out());

  const auto pass = [&](Context<ops::Native>& c) { infer(tower, c, image.data(), interop::as_mat(hidden)); };
  Arena arena = plan_workspace(ops, default_threads(), pass);
  Context<ops::Native> context(ops, arena);
  pass(context);

  const Mat<const float> view = interop::as_mat(hidden);
  const auto map = interop::as_eigen<64>(view);  // the number of columns is a constant for Eigen
  std::printf("%d tokens; mean norm of a token %.4f; largest cosine of two neighbours %.4f\n", view.rows,
              map.rowwise().norm().mean(),
              (map.topRows(15).rowwise().normalized().array() * map.bottomRows(15).rowwise().normalized().array())
                  .rowwise()
                  .sum()
                  .maxCoeff());
}
