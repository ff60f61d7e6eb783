#pragma once
/// The backend on oneDNN (versions 2.6 and 3.x; link `dnnl`): its products and softmax. Norms, rotation, lookup and
/// activations outside a product are the reference's loops, since next to the products their time does not count.
///
/// - Weights are float32 in the layout that the library asks for. 16-bit weights are widened when they are bound, which
///   is exact: oneDNN multiplies float32 rows by 16-bit weights only after rounding the rows too.
/// - The number of rows is a run-time dimension of every product, so one primitive serves all prompts and steps, and
///   neither the layout of a weight nor the scratchpad depends on it.
/// - Results are the library's: their last bits may depend on the number of rows and threads.
/// - Primitives are made on first use and kept, so one object must not run in two threads at the same time.
/// - Errors of the library are `dnnl::error`.

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include <dnnl.hpp>

#include "tessera/core/memory.hpp"
#include "tessera/format/float_formats.hpp"
#include "tessera/kernel/pack.hpp"
#include "tessera/ops/concept.hpp"
#include "tessera/ops/reference.hpp"

namespace tessera::ops {

namespace detail {

struct DnnlPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc scratchpad;
};

/// What differs between the versions 2 and 3 of the library.
namespace dnnl_api {

inline void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha) {
#if DNNL_VERSION_MAJOR >= 3
  ops.append_eltwise(algorithm, alpha, 0);
#else
  ops.append_eltwise(1, algorithm, alpha, 0);
#endif
}

/// y = a b + bias; an empty bias for none.
inline dnnl::matmul::primitive_desc matmul(const dnnl::engine& engine, const dnnl::memory::desc& a,
                                           const dnnl::memory::desc& b, const dnnl::memory::desc& bias,
                                           const dnnl::memory::desc& y, const dnnl::primitive_attr& attr) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, bias, y, attr};
#else
  return {dnnl::matmul::desc(a, b, bias, y), attr, engine};
#endif
}

/// Along the rows, in place.
inline DnnlPrimitive softmax(const dnnl::engine& engine, const dnnl::memory::desc& x,
                             const dnnl::primitive_attr& attr) {
  constexpr auto kind = dnnl::prop_kind::forward_inference;
  constexpr auto algorithm = dnnl::algorithm::softmax_accurate;
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::softmax_forward::primitive_desc desc(engine, kind, algorithm, x, x, 1, attr);
  return {dnnl::softmax_forward(desc), desc.scratchpad_desc()};
#else
  const dnnl::softmax_v2_forward::primitive_desc desc({kind, algorithm, x, x, 1}, attr, engine);
  return {dnnl::softmax_v2_forward(desc), desc.scratchpad_desc()};
#endif
}

}  // namespace dnnl_api
}  // namespace detail

class OneDnn : Reference<float> {
 public:
  using Scalar = float;
  static constexpr const char* name = "onednn";
  static constexpr bool keeps_copies = true;

  /// Copies a matrix into the library's layout, rounded to the weight's format.
  void bind(WeightView w, DType source_type, const void* source) {
    const Buffer floats(static_cast<std::size_t>(w.rows) * w.cols * sizeof(float));
    widen(w, source_type, static_cast<const std::byte*>(source), reinterpret_cast<float*>(floats.data()));
    const dnnl::memory::desc row_major({w.cols, w.rows}, Type::f32, dnnl::memory::dims{1, w.cols});
    const dnnl::memory::desc wanted = layout_of(w);
    Bound bound{Buffer(wanted.get_size()), {}};
    bound.memory = dnnl::memory(wanted, engine_, bound.buffer.data());
    dnnl::memory from(row_major, engine_, floats.data());
    dnnl::reorder(from, bound.memory).execute(stream_, from, bound.memory);
    stream_.wait();
    bound_.insert_or_assign(w.id, std::move(bound));
  }

  void linear(Run& run, Mat<const float> x, WeightView w, Epilogue<float> epilogue, Mat<float> y) const {
    const bool add = epilogue.residual.data != nullptr;
    const int thread_count = threads_for(run, static_cast<double>(x.rows) * w.rows * w.cols);
    const Product product{w.cols, w.rows, thread_count, static_cast<bool>(epilogue.bias), epilogue.activation, add};
    const OpenMpThreads threads(thread_count);
    const dnnl::memory& weight = bound(w);
    const Primitive& primitive =
        cached(products_, product, [&] { return made(product_desc(product, weight.get_desc())); });
    if (add && !run.arena.counting() && epilogue.residual.data != y.data) copy(epilogue.residual, y);
    Arguments arguments{{DNNL_ARG_SRC, memory(x)}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DST, memory(y)}};
    const Mat<const float> bias = dense(static_cast<const float*>(epilogue.bias.data), 1, w.rows);
    if (epilogue.bias) arguments.emplace(DNNL_ARG_BIAS, memory(bias));
    execute(run, primitive, std::move(arguments));
  }

  void gated(Run& run, Mat<const float> x, WeightView gate, WeightView gate_bias, WeightView up, WeightView up_bias,
             Activation act, Mat<float> y) const {
    const Arena::Scope scope(run.arena);
    const Mat<float> gates = run.arena.mat<float>(y.rows, y.cols);
    linear(run, x, gate, {.bias = gate_bias, .activation = act}, gates);
    linear(run, x, up, {.bias = up_bias}, y);
    if (run.arena.counting()) return;
    parallel_for(run.threads, y.rows, 1, [&](int begin, int end, int) {
      for (int r = begin; r < end; ++r) {
        for (int c = 0; c < y.cols; ++c) y(r, c) *= gates(r, c);
      }
    });
  }

  /// Head by head and `query_block` rows at a time, so that the scores stay small. Rows of scores are filled up with −∞
  /// to a multiple of `key_step`, so that a growing cache needs few softmax primitives.
  void attention(Run& run, Mat<const float> q, Mat<const float> k, Mat<const float> v, AttentionShape shape,
                 Mat<float> y) const {
    const int d = shape.head_dim, past = k.rows - q.rows, most_rows = std::min(q.rows, query_block);
    const int thread_count = threads_for(run, static_cast<double>(most_rows) * k.rows * d);
    const OpenMpThreads threads(thread_count);
    const Scores scores_key{d, thread_count, shape.scale};
    const Primitive& score = cached(scores_, scores_key, [&] { return make_scores(scores_key); });
    const Primitive& mix = cached(mixes_, {d, thread_count}, [&] { return make_mix(d); });
    const Arena::Scope scope(run.arena);
    float* const memory_of_scores = run.arena.take<float>(static_cast<std::size_t>(most_rows) * padded(k.rows));

    for (int begin = 0; begin < q.rows; begin += query_block) {
      const int rows = std::min(query_block, q.rows - begin), keys = shape.causal ? past + begin + rows : k.rows;
      const Mat<float> all = dense(memory_of_scores, rows, padded(keys)), seen = all.cols_at(0, keys);
      const Primitive& normalise = cached(softmaxes_, {all.rows, all.cols, thread_count}, [&] {
        return detail::dnnl_api::softmax(engine_, {{rows, all.cols}, Type::f32, dnnl::memory::format_tag::ab},
                                         attributes());
      });
      for (int head = 0; head < shape.heads; ++head) {
        const int kv_head = head * shape.kv_heads / shape.heads;
        const Mat<const float> qh = q.cols_at(head * d, d).rows_at(begin, rows),
                               kh = k.cols_at(kv_head * d, d).rows_at(0, keys),
                               vh = v.cols_at(kv_head * d, d).rows_at(0, keys);
        const Mat<float> yh = y.cols_at(head * d, d).rows_at(begin, rows);
        execute(run, score,
                {{DNNL_ARG_SRC, memory(qh)}, {DNNL_ARG_WEIGHTS, transposed(kh)}, {DNNL_ARG_DST, memory(seen)}});
        for (int r = 0; r < rows && !run.arena.counting(); ++r) {
          const int visible = shape.causal ? past + begin + r + 1 : keys;
          std::fill(all.row(r) + visible, all.row(r) + all.cols, -std::numeric_limits<float>::infinity());
        }
        execute(run, normalise, {{DNNL_ARG_SRC, memory(all)}, {DNNL_ARG_DST, memory(all)}});
        execute(run, mix, {{DNNL_ARG_SRC, memory(seen)}, {DNNL_ARG_WEIGHTS, memory(vh)}, {DNNL_ARG_DST, memory(yh)}});
      }
    }
  }

  using Reference<float>::layer_norm;
  using Reference<float>::rms_norm;
  using Reference<float>::activate;
  using Reference<float>::rotate;
  using Reference<float>::lookup;

 private:
  using Type = dnnl::memory::data_type;
  using Primitive = detail::DnnlPrimitive;
  using Arguments = std::unordered_map<int, dnnl::memory>;

  static constexpr int query_block = 64, key_step = 64;
  static constexpr std::int64_t at_run_time = DNNL_RUNTIME_DIM_VAL;

  struct Bound {
    Buffer buffer;
    dnnl::memory memory;
  };

  // The library divides work by the number of threads when a primitive is made, so it is part of each key.
  struct Product {
    int in, out;
    int threads = 1;
    bool bias = false;
    Activation activation = Activation::identity;
    bool add = false;
    auto operator<=>(const Product&) const = default;
  };
  struct Scores {
    int head_dim, threads;
    float scale;
    auto operator<=>(const Scores&) const = default;
  };
  using Mix = std::array<int, 2>;      // head_dim, threads
  using Softmax = std::array<int, 3>;  // rows, keys, threads

  static int padded(int keys) { return (keys + key_step - 1) / key_step * key_step; }

  static void widen(WeightView w, DType source_type, const std::byte* source, float* out) {
    with_format(source_type, [&]<class Source>(Source) {
      with_format(w.dtype, [&]<class Stored>(Stored) {
        const std::size_t cols = static_cast<std::size_t>(w.cols), row_bytes = cols * sizeof(typename Source::storage);
        parallel_for(default_threads(), w.rows, 1, [&](int begin, int end, int) {
          const Buffer rounded(cols * sizeof(typename Stored::storage));
          for (int r = begin; r < end; ++r) {
            const std::size_t row = static_cast<std::size_t>(r);
            convert_numbers<Source, Stored>(source + row * row_bytes, cols, rounded.data());
            convert_numbers<Stored, f32>(rounded.data(), cols, out + row * cols);
          }
        });
      });
    });
  }

  /// Rows that follow each other at a distance known at run time.
  static dnnl::memory::desc strided(std::int64_t rows, std::int64_t cols) {
    return {{rows, cols}, Type::f32, dnnl::memory::dims{at_run_time, 1}};
  }
  dnnl::memory memory(Mat<const float> m) const {
    return {{{m.rows, m.cols}, Type::f32, dnnl::memory::dims{m.stride, 1}}, engine_, const_cast<float*>(m.data)};
  }
  dnnl::memory transposed(Mat<const float> m) const {
    return {{{m.cols, m.rows}, Type::f32, dnnl::memory::dims{1, m.stride}}, engine_, const_cast<float*>(m.data)};
  }

  static dnnl::primitive_attr attributes(const dnnl::post_ops& post_ops = {}) {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    attr.set_post_ops(post_ops);
    return attr;
  }

  static void append_activation(dnnl::post_ops& ops, Activation act) {
    using detail::dnnl_api::append_eltwise;
    switch (act) {
      case Activation::identity:
        return;
      case Activation::gelu:
        return append_eltwise(ops, dnnl::algorithm::eltwise_gelu_erf, 0);
      case Activation::gelu_tanh:
        return append_eltwise(ops, dnnl::algorithm::eltwise_gelu_tanh, 0);
      case Activation::quick_gelu:
        return append_eltwise(ops, dnnl::algorithm::eltwise_swish, 1.702f);
      case Activation::silu:
        return append_eltwise(ops, dnnl::algorithm::eltwise_swish, 1);
      case Activation::relu:
        return append_eltwise(ops, dnnl::algorithm::eltwise_relu, 0);
    }
  }

  /// The residual is what y holds before. The library has no fast product with both an activation and a residual, which
  /// no layer asks for; it then runs its own plain loops.
  dnnl::matmul::primitive_desc product_desc(const Product& product, const dnnl::memory::desc& weight) const {
    dnnl::post_ops post_ops;
    append_activation(post_ops, product.activation);
    if (product.add) post_ops.append_sum();
    const dnnl::memory::desc bias =
        product.bias ? dnnl::memory::desc({1, product.out}, Type::f32, dnnl::memory::dims{product.out, 1})
                     : dnnl::memory::desc();
    return detail::dnnl_api::matmul(engine_, strided(at_run_time, product.in), weight, bias,
                                    strided(at_run_time, product.out), attributes(post_ops));
  }

  /// The layout that the library asks for; always for one thread, so that weights of one shape share a primitive.
  dnnl::memory::desc layout_of(WeightView w) const {
    const OpenMpThreads one(1);
    return product_desc({.in = w.cols, .out = w.rows}, {{w.cols, w.rows}, Type::f32, dnnl::memory::format_tag::any})
        .weights_desc();
  }

  /// scale · q kᵀ
  Primitive make_scores(const Scores& scores) const {
    dnnl::post_ops post_ops;
    detail::dnnl_api::append_eltwise(post_ops, dnnl::algorithm::eltwise_linear, scores.scale);
    const dnnl::memory::desc keys({scores.head_dim, at_run_time}, Type::f32, dnnl::memory::dims{1, at_run_time});
    return made(detail::dnnl_api::matmul(engine_, strided(at_run_time, scores.head_dim), keys, {},
                                         strided(at_run_time, at_run_time), attributes(post_ops)));
  }

  /// probabilities · v
  Primitive make_mix(int head_dim) const {
    const dnnl::memory::desc probabilities = strided(at_run_time, at_run_time), rows = strided(at_run_time, head_dim);
    return made(detail::dnnl_api::matmul(engine_, probabilities, rows, {}, rows, attributes()));
  }

  static Primitive made(const dnnl::matmul::primitive_desc& desc) {
    return {dnnl::matmul(desc), desc.scratchpad_desc()};
  }

  template <class Key, class Make>
  static const Primitive& cached(std::map<Key, Primitive>& cache, const std::type_identity_t<Key>& key, Make&& make) {
    const auto found = cache.find(key);
    return found != cache.end() ? found->second : cache.emplace(key, make()).first->second;
  }

  const dnnl::memory& bound(WeightView w) const {
    const auto found = bound_.find(w.id);
    if (found == bound_.end()) fail("a weight of [", w.rows, ", ", w.cols, "] was never bound to the oneDNN ops");
    return found->second.memory;
  }

  /// Runs a primitive with its scratchpad in the arena.
  void execute(Run& run, const Primitive& primitive, Arguments arguments) const {
    const Arena::Scope scope(run.arena);
    std::byte* const scratchpad = run.arena.take<std::byte>(primitive.scratchpad.get_size());
    if (run.arena.counting()) return;
    arguments.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(primitive.scratchpad, engine_, scratchpad));
    primitive.primitive.execute(stream_, arguments);
    stream_.wait();
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  mutable dnnl::stream stream_{engine_};
  std::unordered_map<std::uint32_t, Bound> bound_;
  mutable std::map<Product, Primitive> products_;
  mutable std::map<Scores, Primitive> scores_;
  mutable std::map<Mix, Primitive> mixes_;
  mutable std::map<Softmax, Primitive> softmaxes_;
};

static_assert(Ops<OneDnn>);

}  // namespace tessera::ops
