#pragma once
// What a unit file says, as values: no TOML, no file, no system call. Every setting has one row in the table
// of units/settings.h, which feeds the parser, `gpcsup check`, `status -v`, the JSON schema, man/ and
// completion.

#include <sys/types.h>

#include <bitset>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.h"
#include "base/sparse.h"

namespace gpcsup::units {

enum class UnitKind { service, target };
enum class ServiceType { simple, notify, oneshot, forking };
enum class RestartPolicy { no, on_failure, on_abnormal, always };

struct StartLimit {  // at most `starts` starts within `window`, then the unit fails for good until it is
                     // started by hand
    unsigned starts = 5;
    base::Duration window = std::chrono::seconds(10);

    bool operator==(const StartLimit&) const = default;
};

inline constexpr unsigned unlimited_starts = 0xffffffff;             // start_limit = "max"
inline constexpr base::Duration no_timeout = base::Duration::max();  // start_timeout = "max"

// Mostly empty: a machine has a thousand declarations, and few of them say all that can be said.
using Words = base::Sparse<std::vector<std::string>>;
using Table = base::Sparse<std::map<std::string, std::string>>;
using Text = base::Sparse<std::string>;

struct Edges {  // names as written; INTERFACE.md has the table of what each edge does
    Words requires_;
    Words wants;
    Words binds;
    Words after;
    Words before;
    Words conflicts;

    bool operator==(const Edges&) const = default;
};

struct Setting {  // CONTROLLER.ATTRIBUTE = value, as text that the controller's attribute parser reads
    std::string attribute;
    std::string value;

    bool operator==(const Setting&) const = default;
};

struct Declaration {
    std::string name;  // without ".toml"
    std::string description;
    UnitKind kind = UnitKind::service;

    ServiceType type = ServiceType::simple;
    std::vector<std::string> command;
    Words stop_command;    // empty = SIGTERM
    Words reload_command;  // empty = SIGHUP
    RestartPolicy restart = RestartPolicy::on_failure;
    base::Duration restart_delay = std::chrono::milliseconds(100);
    base::Duration restart_delay_max = std::chrono::seconds(30);
    base::Duration restart_reset = std::chrono::seconds(60);  // active this long: the delay starts anew
    StartLimit start_limit;
    base::Duration start_timeout = std::chrono::seconds(90);
    base::Duration stop_timeout = std::chrono::seconds(10);
    std::string stop_signal = "TERM";
    Text user;
    Text group;
    Table environment;
    bool environment_only = false;  // and nothing that is inherited (release agents)
    Text directory;
    std::optional<int> nice;
    std::optional<unsigned> umask;
    Words enforce;  // controllers whose calls are trapped from the start, limit or not
    bool no_new_privileges = false;
    bool terminal = false;  // stdin, stdout, stderr are the console (a getty, an emergency shell)

    Table place;                                // hierarchy (or controller) → group path
    base::Sparse<std::vector<Setting>> limits;  // on a group of the unit's own under its place

    Edges depends;
    Words wanted_by;  // empty = default
    bool enabled = true;
    bool masked = false;

    std::bitset<64> given;  // by row of units/settings.h: what a file said; the others are "(default)"

    bool operator==(const Declaration&) const = default;
};

}  // namespace gpcsup::units
