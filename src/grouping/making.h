#pragma once
// What a declaration comes to once its groups are made, and which declaration comes to a given tree. A group
// has what is said of it, and of the attributes that new groups inherit that which its parent has; so the
// result depends on what is said alone, and not on the order in which groups are made and set. Boot, apply
// and snapshot all go by this. Pure.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "grouping/declared.h"

namespace gpcsup::grouping {

// What a group of this path has in a hierarchy of that kind.
using DefaultOf =
    std::function<std::string(Compat compat, const std::string& path, const std::string& attribute)>;

// How attributes come to a group of which nothing is said.
struct Making {
    DefaultOf default_of;
    std::vector<std::string> inherited;  // from the parent
    std::vector<std::string> cloned;     // from the parent, where that one has clone_switch
};
inline constexpr std::string_view clone_switch = "group.clone_children";

using AttributeValues = std::map<std::string, std::string>;

[[nodiscard]] AttributeValues values_of(const DeclaredGroup& group);

// The defaults of one group.
struct Defaults {
    const Making& making;
    Compat compat = Compat::none;
    const std::string& path;

    [[nodiscard]] std::string of(const std::string& attribute) const {
        return making.default_of(compat, path, attribute);
    }
};

// What a new group, whose parent has these values, has of them: only what is not its default.
[[nodiscard]] AttributeValues born_with(const AttributeValues& parent, const Defaults& child);

// Every group that the declaration makes, the root too, parents before their children. Each has the settings
// that are said of it, also those that say the default, and what it inherits that is not the default.
[[nodiscard]] DeclaredHierarchy as_made(const DeclaredHierarchy& declared, const Making& making);

// The way back. ACTUAL has every group, with all that is not the default. Said is what the making would not
// give anyway. Groups in LEFT_OUT are to be written by nobody: those below them are declared as if they were
// made for their sake.
[[nodiscard]] DeclaredHierarchy as_declared(const DeclaredHierarchy& actual, const Making& making,
                                            const std::set<std::string>& left_out = {});

}  // namespace gpcsup::grouping
