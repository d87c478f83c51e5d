#include "supervisor/declaration_json.h"

#include <algorithm>

#include "units/settings.h"

namespace gpcsup::supervisor {

namespace {

using units::Declaration;

// One visit of every member serves both directions, so that neither can forget one.
template <class Archive, class Unit>
void visit_members(Archive&& archive, Unit& unit) {
    archive("name", unit.name);
    archive("description", unit.description);
    archive("kind", unit.kind);
    archive("type", unit.type);
    archive("command", unit.command);
    archive("stop_command", unit.stop_command);
    archive("reload_command", unit.reload_command);
    archive("restart", unit.restart);
    archive("restart_delay", unit.restart_delay);
    archive("restart_delay_max", unit.restart_delay_max);
    archive("restart_reset", unit.restart_reset);
    archive("start_limit", unit.start_limit.starts);
    archive("start_window", unit.start_limit.window);
    archive("start_timeout", unit.start_timeout);
    archive("stop_timeout", unit.stop_timeout);
    archive("stop_signal", unit.stop_signal);
    archive("user", unit.user);
    archive("group", unit.group);
    archive("environment", unit.environment);
    archive("directory", unit.directory);
    archive("nice", unit.nice);
    archive("umask", unit.umask);
    archive("enforce", unit.enforce);
    archive("no_new_privileges", unit.no_new_privileges);
    archive("terminal", unit.terminal);
    archive("place", unit.place);
    archive("limits", unit.limits);
    archive("requires", unit.depends.requires_);
    archive("wants", unit.depends.wants);
    archive("binds", unit.depends.binds);
    archive("after", unit.depends.after);
    archive("before", unit.depends.before);
    archive("conflicts", unit.depends.conflicts);
    archive("wanted_by", unit.wanted_by);
    archive("enabled", unit.enabled);
    archive("masked", unit.masked);
}

struct Writer {
    Json& json;
    template <class Member>
    void operator()(const char* key, const Member& member) {
        if constexpr (std::is_enum_v<Member>) {
            json[key] = static_cast<int>(member);
        } else if constexpr (std::is_same_v<Member, base::Duration>) {
            json[key] = member.count();
        } else if constexpr (std::is_same_v<Member, base::Sparse<std::vector<units::Setting>>>) {
            for (const units::Setting& setting : member) {
                json[key].push_back({setting.attribute, setting.value});
            }
        } else if constexpr (requires { member.has_value(); }) {
            if (member) {
                json[key] = *member;
            }
        } else if constexpr (requires { *member; }) {  // base::Sparse
            if (!member.empty()) {
                json[key] = *member;
            }
        } else if constexpr (requires { member.empty(); }) {
            if (!member.empty()) {
                json[key] = member;
            }
        } else {
            json[key] = member;
        }
    }
};

struct Reader {
    const Json& json;
    template <class Member>
    void operator()(const char* key, Member& member) {
        const auto found = json.find(key);
        if (found == json.end()) {
            return;
        }
        if constexpr (std::is_enum_v<Member>) {
            member = static_cast<Member>(found->template get<int>());
        } else if constexpr (std::is_same_v<Member, base::Duration>) {
            member = base::Duration(found->template get<std::int64_t>());
        } else if constexpr (std::is_same_v<Member, base::Sparse<std::vector<units::Setting>>>) {
            for (const Json& pair : *found) {
                member.edit().push_back({pair.at(0), pair.at(1)});
            }
        } else if constexpr (requires { member.has_value(); }) {
            member = found->template get<typename Member::value_type>();
        } else if constexpr (requires { member.edit(); }) {
            found->get_to(member.edit());
        } else {
            member = found->template get<Member>();
        }
    }
};

}  // namespace

Json to_json(const Declaration& unit) {
    Json json = Json::object();
    visit_members(Writer{json}, unit);
    for (const units::SettingRow& row : units::settings()) {
        if (units::was_given(unit, row)) {
            json["given"].push_back(units::full_key(row));  // by name: a later version may have other rows
        }
    }
    return json;
}

base::Result<Declaration> declaration_from_json(const Json& json) {
    Declaration unit;
    try {
        unit.stop_signal.clear();
        visit_members(Reader{json}, unit);
        const Json given = json.value("given", Json::array());
        for (const units::SettingRow& row : units::settings()) {
            if (std::ranges::find(given, Json(units::full_key(row))) != given.end()) {
                units::note_given(unit, row);
            }
        }
    } catch (const Json::exception& error) {
        return base::fail(EPROTO, "read the declaration of", json.value("name", "a unit"), error.what());
    }
    return unit;
}

}  // namespace gpcsup::supervisor
