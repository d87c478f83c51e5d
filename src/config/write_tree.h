#pragma once
// A tree of groups and placement rules as the gpcsup.toml that would make them: reading it again gives the
// same. Pure.

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "grouping/declared.h"
#include "grouping/rules.h"

namespace gpcsup::config {

// How the value of an attribute is written where it can be: a bare number or boolean, or in quotes.
enum class ValueStyle { bare, quoted };
using StyleOf = std::function<ValueStyle(std::string_view attribute)>;

// Groups with a note are left out: the note stands in their place, as a comment.
struct LeftOut {
    std::string group;  // "tenant:/acme/cache"
    std::string note;
};

[[nodiscard]] std::string write_tree(const grouping::DeclaredTree& tree,
                                     std::span<const grouping::Rule> rules, std::span<const LeftOut> left_out,
                                     const StyleOf& style_of);

}  // namespace gpcsup::config
