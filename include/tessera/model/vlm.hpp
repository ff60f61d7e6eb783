#pragma once
/// A vision-language model: three slots and a splice.

#include <utility>

#include "tessera/connect/concept.hpp"
#include "tessera/language/concept.hpp"
#include "tessera/model/splice.hpp"
#include "tessera/vision/concept.hpp"

namespace tessera {

/// The slots of a Vlm, as names for types, and the prefixes of their parameters.
namespace slot {

struct Vision {
  static constexpr const char* name = "vision_tower";
};
struct Connector {
  static constexpr const char* name = "multi_modal_projector";
};
struct Language {
  static constexpr const char* name = "language_model";
};

}  // namespace slot

/// The seams between the slots. Their names and the two numbers are what a wrong width shows in the compiler's message.
template <dim Produced, dim Expected>
struct vision_to_connector {
  static_assert(same_extent(Produced, Expected),
                "Vlm: the vision encoder's width is not the connector's input width; see <Produced, Expected>");
};
template <dim Produced, dim Expected>
struct connector_to_language {
  static_assert(same_extent(Produced, Expected),
                "Vlm: the connector's output width is not the language model's width; see <Produced, Expected>");
};

/// Each slot is a type; another type in a slot is another architecture. Parameters carry the published prefixes
/// `vision_tower`, `multi_modal_projector` and `language_model`.
template <class Vision, class ConnectorT, class Language, class SpliceT>
struct Vlm {
  static_assert(VisionEncoder<Vision>, "Vlm: slot 1 must be a tessera::VisionEncoder");
  static_assert(Connector<ConnectorT>, "Vlm: slot 2 must be a tessera::Connector");
  static_assert(LanguageModel<Language>, "Vlm: slot 3 must be a tessera::LanguageModel");
  static_assert(Splice<SpliceT>, "Vlm: the last argument must be a tessera::Splice");
  static_assert(sizeof(vision_to_connector<Vision::out_width, ConnectorT::in_width>) != 0);
  static_assert(sizeof(connector_to_language<ConnectorT::out_width, Language::in_width>) != 0);

  Vision vision;
  ConnectorT connector;
  Language language;
  SpliceT splice;

  /// The run-time half of the checks above.
  Vlm(Vision v, ConnectorT c, Language l, SpliceT s)
      : vision(std::move(v)), connector(std::move(c)), language(std::move(l)), splice(std::move(s)) {
    if (vision.out() != connector.in()) {
      fail("the vision encoder makes rows of ", vision.out(), " numbers, the connector reads rows of ", connector.in());
    }
    if (connector.out() != language.width()) {
      fail("the connector makes rows of ", connector.out(), " numbers, the language model reads rows of ",
           language.width());
    }
  }

  /// Rows of the language model's sequence that one image takes.
  int image_tokens() const { return connector.tokens(vision.tokens()); }

  template <class V, class... M>
  static void params(V&& v, M&... m) {
    v(slot::Vision::name, m.vision...);
    v(slot::Connector::name, m.connector...);
    v(slot::Language::name, m.language...);
  }
};

}  // namespace tessera
