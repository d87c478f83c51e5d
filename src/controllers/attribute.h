#pragma once
// A controller's attributes, declared once: from these rows come TOML keys, `gpcsup get/set`, bus properties,
// checks, JSON, the man page and completion. No system call in here.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "grouping/compat.h"

namespace gpcsup::controllers {

struct Max {  // "no limit": "max" in TOML and on the command line, null in JSON
    bool operator==(const Max&) const = default;
};

using Value = std::variant<Max, bool, std::uint64_t, std::string>;

enum class AttributeType {
    boolean,      // true, false (also 1, 0)
    count,        // a whole number
    limit,        // a whole number, or "max"
    cpu_list,     // "0-3,8"
    node_list,    // the same, of NUMA nodes
    nanoseconds,  // read-only CPU time
    rate,         // "100/1s", or "max"
    user,         // a numeric uid, or "none"
    soft_hard,    // "1024:4096", "1024" for both, "infinity" for either, or "max"
    byte_limits,  // the same with suffixes: "8M:infinity"
    freezing,     // "frozen" or "thawed"; what is read may also be "freezing"
    mark,         // "now"; what is read is a figure
    text,
};

enum class Access { read_only, read_write };
// Copied from the parent's to a new group: where group.clone_children is set, or everywhere.
enum class Cloned { no, with_clone_children, always };
// What was set is in the journal, in snapshots, and put back after a restart; or it is no setting but a thing
// that was done to the group, and whatever must last of it the controller keeps (Host::remember).
enum class Kept { as_setting, by_controller };

struct Attribute {
    std::string_view name;  // "limit"; the full name is CONTROLLER.limit
    AttributeType type;
    Access access;
    std::string_view unit;          // "tasks", "ns", "" …
    std::string_view default_text;  // as a person would type it; "" = empty list
    std::string_view help;          // one line
    // A check beyond the type (a lower bound, say); null = none. Says what was expected.
    base::Result<> (*check)(const Value& value) = nullptr;
    Cloned cloned = Cloned::no;
    // Of a group below the root of a hierarchy of 2006; "" = as above.
    std::string_view default_of_2006 = {};
    Kept kept = Kept::as_setting;
};

enum class Level : std::uint8_t { root, below };  // of a group in its hierarchy
[[nodiscard]] std::string_view default_of(const Attribute& attribute, grouping::Compat compat, Level level);

// Text as typed (TOML, `set`) to a value of the attribute's type. EINVAL says what was expected and shows the
// right spelling; EACCES for a read-only attribute.
base::Result<Value> parse_value(std::string_view full_name, const Attribute& attribute,
                                std::string_view text);

// "cpu_list", "whole number" …: the type as a person, a schema or a man page names it.
std::string_view type_name(AttributeType type);

// "100/1s": so many in such a time.
struct Rate {
    std::uint64_t count = 0;
    std::uint64_t window_ns = 0;
};
base::Result<Rate> parse_rate(std::string_view text);

// "64K:infinity": a soft and a hard limit; one number is both.
struct SoftHard {
    static constexpr std::uint64_t infinity = ~std::uint64_t{0};
    std::uint64_t soft = infinity;
    std::uint64_t hard = infinity;
};
enum class Suffixes { none, bytes };
base::Result<SoftHard> parse_soft_hard(std::string_view text, Suffixes suffixes);
std::string format_soft_hard(const SoftHard& limits);

// What parse_value reads back; JSON uses the variant itself (Max = null).
std::string format_value(const Value& value);

// A limit and its number: UINT64_MAX = "max".
[[nodiscard]] std::uint64_t limit_number(const Value& value);
[[nodiscard]] Value limit_value(std::uint64_t number);

}  // namespace gpcsup::controllers
