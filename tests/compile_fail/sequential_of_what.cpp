// expect: is_a_layer<NotALayer>
// expect: it needs in_width, out_width, out() and Saved<Need, Scalar>
#include "tessera/layer/activation.hpp"
#include "tessera/layer/linear.hpp"
#include "tessera/layer/sequential.hpp"

using namespace tessera;

struct NotALayer {
  static constexpr dim in_width = 8, out_width = 8;
};
using Layers = Sequential<Linear<8, 8>, std::conditional_t<WRONG, NotALayer, Linear<8, 8>>>;
constexpr std::size_t size = sizeof(Layers);
