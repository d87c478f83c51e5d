#pragma once
// Every setting of a unit file, one row each: what the parser accepts, what `check` says, what `status -v`
// prints, what the man page and the completion list. A setting that is not in this table does not exist. No
// TOML in here: the parser turns what it read into a SettingValue of the row's type and lets the row do the
// rest.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "units/declaration.h"

namespace gpcsup::units {

enum class SettingType {
    text,        // "…"
    word,        // one of `words`
    boolean,     // true, false
    number,      // a whole number
    duration,    // "90s"
    timeout,     // "90s" or "max"
    octal,       // "022"
    rate,        // "5/10s" or "max"
    command,     // ["program", "argument"…] or one string, split by shell quoting
    unit_names,  // ["a", "b"]
    words,       // ["a", "b"]
    map,         // { NAME = "value" }
    any_key,     // a row for a whole section whose keys others know: [place], [limits]
};

enum class Applies {
    at_once,   // also to a unit that runs
    at_start,  // a unit that runs keeps what it was started with until its next start
};

// Who is shown a value; each sees what those before it see. Arguments and environments carry secrets.
enum class Audience {
    everybody,
    owner,  // root, the supervisor's own user and the unit's user
};

using SettingValue = std::variant<bool, std::int64_t, std::string, std::vector<std::string>,
                                  std::map<std::string, std::string>>;

struct SettingRow {
    std::string_view section;  // "" = top of the file
    std::string_view key;
    SettingType type;
    Applies applies;
    std::string_view default_text;            // as a person would type it
    std::string_view help;                    // one line
    std::span<const std::string_view> words;  // of SettingType::word
    // Null for any_key. `assign` checks what the type does not say; its error is the whole sentence, without
    // the key.
    base::Result<> (*assign)(Declaration&, const SettingValue&);
    std::string (*print)(const Declaration&);  // as a person would type it
    Audience audience = Audience::everybody;
};

[[nodiscard]] std::span<const SettingRow> settings();
[[nodiscard]] const SettingRow* find_setting(std::string_view section, std::string_view key);
[[nodiscard]] std::span<const std::string_view> sections();  // "service", "place", "limits", "depends"
[[nodiscard]] std::string full_key(const SettingRow& row);   // "service.restart"
[[nodiscard]] std::string_view type_text(SettingType type);  // "a duration such as \"90s\""

// Whether a file said it, and that one did.
[[nodiscard]] bool was_given(const Declaration& declaration, const SettingRow& row);
void note_given(Declaration& declaration, const SettingRow& row);

struct EffectiveSetting {
    std::string key;  // "service.restart", "limits.numtasks.limit"
    std::string value;
    bool is_default;
};

// For `status -v`: every row that is for this audience, and every entry of [place] and [limits].
[[nodiscard]] std::vector<EffectiveSetting> effective_settings(const Declaration& declaration,
                                                               Audience audience);
// Of a full key, or of one below it ("service.environment.PASSWORD").
[[nodiscard]] Audience audience_of(std::string_view full_key);

// The keys whose values differ, with what `apply` would have to do about them.
struct Difference {
    std::string key;
    Applies applies;
};
[[nodiscard]] std::vector<Difference> differences(const Declaration& before, const Declaration& after);

}  // namespace gpcsup::units
