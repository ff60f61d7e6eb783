#pragma once

#include "tessera/layer/concept.hpp"

namespace tessera {

/// Slot 2 of a Vlm: a layer that also says how wide the rows are that it reads, and how many rows come out for the rows
/// of one image. Its x holds all images of a batch, one after the other. A connector that mixes the rows of an image
/// (a resampler, a Q-Former, pooling) must not mix images, and takes their number:
///
///     template <Need N, class Ctx>
///     void forward(Ctx& c, Input<S> x, int images, Mat<S> y, Saved<N, S>& saved) const;
///     template <Need N, class Ctx>
///     void backward(Ctx& c, const Saved<N, S>& saved, Input<S> dy, Mat<S> dx, int images) const;
///
/// The rows of an image are in raster order, after its class token where the tower's selection keeps that.
/// `testing::grad_check(connector, {.rows = …, .images = 2})` checks the backward pass and that images are not mixed.
template <class C>
concept Connector = Layer<C> && requires(const C& connector) {
  { connector.in() } -> std::same_as<int>;
  { connector.tokens(576) } -> std::same_as<int>;
};

/// Runs a connector of either kind on the rows of `images` images.
template <Need N, class C, class Ctx, class S = typename Ctx::Scalar>
void connector_forward(const C& connector, Ctx& c, Input<S> x, int images, Mat<S> y,
                       typename C::template Saved<N, S>& saved) {
  if constexpr (requires { connector.template forward<N>(c, x, images, y, saved); }) {
    connector.template forward<N>(c, x, images, y, saved);
  } else {
    static_assert(
        requires { connector.template forward<N>(c, x, y, saved); },
        "a connector needs forward<Need>(c, x, y, saved) or forward<Need>(c, x, images, y, saved)");
    connector.template forward<N>(c, x, y, saved);
  }
}

/// For its output alone.
template <class C, class Ctx, class S = typename Ctx::Scalar>
void infer_connector(const C& connector, Ctx& c, Input<S> x, int images, Mat<S> y) {
  typename C::template Saved<inference, S> nothing;
  connector_forward<inference>(connector, c, x, images, y, nothing);
}

template <Need N, class C, class Ctx, class S = typename Ctx::Scalar>
void connector_backward(const C& connector, Ctx& c, const typename C::template Saved<N, S>& saved, Input<S> dy,
                        Mat<S> dx, int images) {
  if constexpr (requires { connector.template backward<N>(c, saved, dy, dx, images); }) {
    connector.template backward<N>(c, saved, dy, dx, images);
  } else {
    static_assert(
        requires { connector.template backward<N>(c, saved, dy, dx); },
        "a connector needs backward<Need>(c, saved, dy, dx) or backward<Need>(c, saved, dy, dx, images)");
    connector.template backward<N>(c, saved, dy, dx);
  }
}

}  // namespace tessera
