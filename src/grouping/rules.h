#pragma once
// Placement rules, as cgrules.conf has them: which process belongs where when nobody has said so. Pure: who
// asks says everything about the process (Subject); names of accounts come through base::Accounts. In here
// nothing is placed and nobody is looked up.
//
// Rules are tried in order. In each hierarchy the first one counts that matches and names the hierarchy; one
// that matches and says `ignore` ends the search in all hierarchies.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/accounts.h"
#include "base/result.h"
#include "grouping/forest.h"

namespace gpcsup::grouping {

struct Who {  // a user or a group of users, as the rule has it
    std::string name;
    std::optional<std::uint32_t> number;  // when it was given by number
    bool operator==(const Who&) const = default;
};
[[nodiscard]] Who parse_who(std::string_view text);
[[nodiscard]] std::string to_text(const Who& who);

enum class RuleAction { place, ignore };

struct Rule {
    std::optional<Who> user;
    std::optional<Who> group;
    std::string executable;  // "/usr/bin/make", or "make" for any program of that name; empty = any
    std::string unit;        // a glob; empty = any, also none
    std::map<std::string, std::string> place;  // hierarchy or controller → path with templates
    RuleAction action = RuleAction::place;
    std::string location;         // "gpcsup.toml:12:1"; for people
    std::string real_executable;  // `executable` with its links resolved, where that could be done

    // The same rule, wherever it stands.
    [[nodiscard]] bool means(const Rule& other) const;
};

// "/students/%u": begins with a slash; %u %U %g %G %p %P %%. EINVAL says what is wrong.
base::Result<> check_place_template(std::string_view text);

struct Subject {  // a process, as it is or will be
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
    std::vector<std::uint32_t> groups;  // all of its groups, gid among them
    std::string user;                   // as a unit names it; empty where only the number is known
    std::string group;
    std::string executable;  // the file, links resolved
    std::string name;        // what it was called by: the last part of the path that was executed
    std::string unit;        // empty = of no unit
    std::optional<pid_t> pid;
};

[[nodiscard]] bool matches(const Rule& rule, const Subject& subject, const base::Accounts& accounts);

// The path of a template. What may not be in a group's name (a slash, a control character) becomes '_', and a
// name that is "", "." or ".." is written with '_' instead of its dots: no account can choose a path.
[[nodiscard]] std::string expand(std::string_view place, const Subject& subject,
                                 const base::Accounts& accounts);

struct RuleChoice {
    std::size_t rule = 0;  // index
    std::string path;
    bool operator==(const RuleChoice&) const = default;
};
using RuleChoices = std::array<std::optional<RuleChoice>, max_hierarchies>;  // by hierarchy slot

[[nodiscard]] RuleChoices choose(std::span<const Rule> rules, const Subject& subject,
                                 const base::Accounts& accounts, const Forest& forest);

// Whether the rule's path in this hierarchy has the number of the process in it (%P).
[[nodiscard]] bool names_the_process(const Rule& rule, std::string_view hierarchy, const Forest& forest);

// A number for each rule by what it says, not by where it stands: it stays when rules are added or removed
// around it. Never 0 or `placed_explicitly`.
using RuleMark = std::uint16_t;
inline constexpr RuleMark placed_by_nobody = 0;
inline constexpr RuleMark placed_explicitly = 0xffff;
[[nodiscard]] std::vector<RuleMark> marks_of(std::span<const Rule> rules);

}  // namespace gpcsup::grouping
