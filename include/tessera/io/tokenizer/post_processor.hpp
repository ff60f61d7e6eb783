#pragma once
/// The post-processors of tokenizer.json: the special tokens around a text.

#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/json.hpp"
#include "tessera/io/tokenizer/vocabulary.hpp"

namespace tessera::io {

/// Ids that go in front of and behind the ids of a single text. (A pair of texts is never encoded here.)
struct PostProcessor {
  std::vector<int> before, after;

  /// Reads the field `post_processor`; null adds nothing.
  static PostProcessor from_json(const json& object, const std::string& where) {
    PostProcessor result;
    if (!object.is_null()) result.append(object, where);
    return result;
  }

 private:
  void append(const json& object, const std::string& where) {
    const auto type = require<std::string>(object, "type", where);
    if (type == "Sequence") {
      const auto steps = object.find("processors");
      if (steps == object.end() || !steps->is_array()) fail(where, ": expected a list in the field 'processors'");
      for (const json& step : *steps) append(step, where);
    } else if (type == "TemplateProcessing") {
      append_template(object, where);
    } else if (type != "ByteLevel") {  // which only moves offsets
      fail(where, ": the post-processor ", in_quotes(type), " is not supported");
    }
  }

  // A step works on what the steps before it made, so its tokens go outside of theirs.
  void append_template(const json& object, const std::string& where) {
    const auto pieces = object.find("single");
    if (pieces == object.end() || !pieces->is_array()) fail(where, ": expected a list in the field 'single'");
    std::vector<int> outer_before, outer_after;
    bool text_seen = false;
    for (const json& piece : *pieces) {
      if (!piece.is_object() || piece.size() != 1)
        fail(where, ": an element of 'single' is not SpecialToken or Sequence");
      const std::string& kind = piece.begin().key();
      const auto id = require<std::string>(piece.begin().value(), "id", where);
      if (kind == "SpecialToken") {
        const std::vector<int> ids = special_token_ids(object, id, where);
        auto& side = text_seen ? outer_after : outer_before;
        side.insert(side.end(), ids.begin(), ids.end());
      } else if (kind == "Sequence" && id == "A" && !text_seen) {
        text_seen = true;
      } else {
        fail(where, ": 'single' has ", kind, " ", in_quotes(id), ", expected special tokens around one sequence A");
      }
    }
    if (!text_seen) fail(where, ": 'single' lacks the sequence A");
    before.insert(before.begin(), outer_before.begin(), outer_before.end());
    after.insert(after.end(), outer_after.begin(), outer_after.end());
  }

  static std::vector<int> special_token_ids(const json& object, const std::string& name, const std::string& where) {
    const auto table = object.find("special_tokens");
    if (table == object.end() || !table->is_object() || !table->contains(name))
      fail(where, ": 'special_tokens' lacks ", in_quotes(name));
    const auto ids = require<std::vector<int>>((*table)[name], "ids", where);
    for (const int id : ids)
      if (id < 0 || id >= max_token_id)
        fail(where, ": ", in_quotes(name), " has id ", id, ", expected 0 to ", max_token_id - 1);
    return ids;
  }
};

}  // namespace tessera::io
