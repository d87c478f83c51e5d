#include "cli/unit_notes.h"

#include <array>

#include "cli/text.h"

namespace gpcsup::cli {

namespace {

// "at 22:10:30 (in 4 s)"
std::string moment(const Look& look, std::int64_t realtime_ns) {
    const std::string clock = local_time(realtime_ns).substr(11);
    const std::int64_t left = realtime_ns - look.now_ns;
    return clock +
           (left > 0 ? " (in " + base::describe_duration(std::chrono::nanoseconds(left)) + ")" : " (now)");
}

bool is_well(const std::string& state) {
    return state == "active" || state == "done";
}

}  // namespace

std::vector<Note> state_notes(const Json& unit, const Look& look) {
    const std::string state = text_of(unit, "state");
    const std::string reason = text_of(unit, "reason");
    const Tone tone = state == "failed" ? Tone::bad : state == "inactive" ? Tone::faint : Tone::waiting;
    std::vector<Note> notes;
    if (!reason.empty() && state != "done") {  // of an active unit: its last reload failed
        notes.push_back({tone, reason});
    }
    if (const auto deadline = number_of(unit, "deadline_ns"); deadline && !is_well(state)) {
        notes.push_back({tone, "until " + moment(look, *deadline)});
    }
    if (const auto next = number_of(unit, "next_restart_ns"); next && state == "backoff") {
        std::string text = "next try at " + moment(look, *next);
        if (const auto left = number_of(unit, "tries_left")) {
            text += ", " + std::to_string(*left) + (*left == 1 ? " try left" : " tries left");
        }
        notes.push_back({tone, text});
    }
    return notes;
}

std::string limit_text(const Json& limit) {
    const auto most = number_of(limit, "limit");
    std::string text = text_of(limit, "attribute") + " " +
                       std::to_string(number_of(limit, "current").value_or(0)) + " of " +
                       (most ? std::to_string(*most) : "max");
    if (const std::string group = text_of(limit, "group"); !group.empty()) {
        text += " on " + group;
    }
    if (const auto refused = number_of(limit, "failcnt"); refused.value_or(0) > 0) {
        text += ", " + std::to_string(*refused) + " refused";
    }
    return text;
}

std::vector<Note> edge_notes(const Json& unit) {
    std::vector<Note> notes;
    for (const Json& limit : list_of(unit, "limits")) {
        const auto most = number_of(limit, "limit");
        const std::int64_t current = number_of(limit, "current").value_or(0);
        const bool refused = number_of(limit, "failcnt").value_or(0) > 0;
        const bool near = most && current >= *most - *most / 5;
        if (near || refused) {
            notes.push_back({most && current >= *most ? Tone::bad : Tone::waiting, limit_text(limit)});
        }
    }
    return notes;
}

std::vector<Note> enforcement_notes(const Json& unit) {
    std::vector<Note> notes;
    for (const auto& [controller, how] : object_of(unit, "enforcement").items()) {
        const std::string text = value_text(how);
        if (text.starts_with("observed")) {
            notes.push_back({Tone::waiting, controller + " is " + text});
        }
    }
    return notes;
}

std::vector<Note> frozen_notes(const Json& unit) {
    std::vector<Note> notes;
    for (const Json& group : list_of(unit, "frozen_by")) {
        const std::string name = value_text(group);
        notes.push_back({Tone::waiting, "frozen with " + name + ": gpcsup thaw " + name});
    }
    return notes;
}

std::string all_places_text(const Json& places) {
    std::string text;
    for (const auto& [hierarchy, path] : places.items()) {
        text += (text.empty() ? "" : " ") + harmless(hierarchy) + ":" + value_text(path);
    }
    return text;
}

std::string place_text(const Json& place) {
    std::string text;
    for (const auto& [hierarchy, path] : place.items()) {
        const std::string group = value_text(path);
        if (hierarchy != "unit" && group != "/") {
            text += (text.empty() ? "" : "  ") + hierarchy + ":" + group;
        }
    }
    return text;
}

}  // namespace gpcsup::cli
