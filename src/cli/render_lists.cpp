#include "cli/render_lists.h"

#include <algorithm>

#include "cli/text.h"
#include "cli/tree.h"
#include "cli/unit_notes.h"

namespace gpcsup::cli {

namespace {

// The heading faint, the rows as they are; what is said when there is none.
std::string print_table(const Table& table, const Look& look, std::string_view when_empty) {
    if (table.empty()) {
        return std::string(when_empty) + "\n";
    }
    std::string text;
    bool heading = true;
    for (const auto& line : table.lines(look.width)) {
        text += (heading ? paint(look, Tone::faint, line) : line) + "\n";
        heading = false;
    }
    return text;
}

std::string joined(const Json& list) {
    std::string text;
    for (const Json& element : list) {
        text += (text.empty() ? "" : ", ") + value_text(element);
    }
    return text;
}

// What is set on a group, behind its name in the tree.
std::string attribute_text(const Json& group) {
    std::string text;
    for (const auto& [name, value] : object_of(group, "attributes").items()) {
        text += "  " + name + "=" + value_text(value);
    }
    return text;
}

Branch group_branch(const Json& group, const Look& look);

// Groups nest 32 deep at most.
void add_group_children(Branch& branch, const Json& group, const Look& look) {
    for (const Json& child : list_of(group, "children")) {
        branch.children.push_back(group_branch(child, look));
    }
    for (const Json& process : list_of(group, "processes")) {
        branch.children.push_back({number_or_dash(process, "pid") + " " + text_of(process, "command"), {}});
    }
}

Branch group_branch(const Json& group, const Look& look) {
    const std::string_view mark = text_of(group, "state") == "dying" ? " (dying)" : "";
    Branch branch{
        paint(look, Tone::strong, text_of(group, "name")) + std::string(mark) + attribute_text(group), {}};
    add_group_children(branch, group, look);
    return branch;
}

}  // namespace

std::string render_list(const Json& answer, const Look& look) {
    Table table({{"  UNIT"}, {"STATE"}, {"TYPE"}, {"BOOT"}, {"DESCRIPTION"}});
    for (const Json& unit : list_of(answer, "units")) {
        const std::string state = text_of(unit, "state");
        table.add({dot(look, state) + " " + text_of(unit, "name"), paint(look, tone_of_state(state), state),
                   text_of(unit, "type"), truth_of(unit, "enabled") == Truth::no ? "no" : "yes",
                   text_of(unit, "description")});
    }
    return print_table(table, look, "no units");
}

std::string render_processes(const Json& answer, const Look& look) {
    Table table({{"PID", Align::right}, {"PPID", Align::right}, {"UNIT"}, {"GROUPS"}, {"COMMAND"}});
    for (const Json& process : list_of(answer, "processes")) {
        const std::string unit = text_of(process, "unit");
        const std::string place = place_text(object_of(process, "place"));
        table.add({number_or_dash(process, "pid"), number_or_dash(process, "ppid"), unit.empty() ? "-" : unit,
                   place.empty() ? "-" : place, text_of(process, "command")});
        for (const Json& thread : list_of(process, "threads_apart")) {
            table.add({"", "", "", all_places_text(object_of(thread, "groups")),
                       "thread " + number_or_dash(thread, "tid") + " of " + number_or_dash(process, "pid")});
        }
    }
    for (const Json& thread : list_of(answer, "threads")) {
        table.add({number_or_dash(thread, "pid"), "-", "-", all_places_text(object_of(thread, "groups")),
                   "thread " + number_or_dash(thread, "tid") + " of " + text_of(thread, "command")});
    }
    return print_table(table, look, "no processes");
}

std::string render_tree(const Json& answer, const Look& look) {
    std::string text;
    for (const Json& hierarchy : list_of(answer, "hierarchies")) {
        const Json& root = object_of(hierarchy, "root");
        const std::string controllers = joined(list_of(hierarchy, "controllers"));
        text += paint(look, Tone::strong, text_of(hierarchy, "name") + ":") +
                (controllers.empty() ? "" : "  [" + controllers + "]") + attribute_text(root) + "\n";
        Branch top;
        add_group_children(top, root, look);
        for (const auto& line : draw(top.children, look, look.width, 0)) {
            text += line + "\n";
        }
    }
    return text.empty() ? "no hierarchies\n" : text;
}

std::string holders_text(const Json& held_by) {
    std::string text;
    for (const auto& [controller, why] : held_by.items()) {
        text += (text.empty() ? "" : ", ") + controller + " (" + value_text(why) + ")";
    }
    return text;
}

std::string render_groups(const Json& answer, const Look& look) {
    Table table({{"GROUP"}, {"PROCESSES", Align::right}, {"CHILDREN", Align::right}, {"UNIT"}, {"STATE"}});
    for (const Json& group : list_of(answer, "groups")) {
        const std::string unit = text_of(group, "unit");
        const std::string state = text_of(group, "state");
        const std::string by = holders_text(object_of(group, "held_by"));
        table.add({text_of(group, "group"), number_or_dash(group, "processes"),
                   number_or_dash(group, "children"), unit.empty() ? "-" : unit,
                   (state.empty() ? "-" : state) + (by.empty() ? "" : ", held by " + by)});
    }
    return print_table(table, look, "no groups");
}

std::string render_hierarchies(const Json& answer, const Look& look) {
    Table table(
        {{"HIERARCHY"}, {"GROUPS", Align::right}, {"PROCESSES", Align::right}, {"COMPAT"}, {"CONTROLLERS"}});
    for (const Json& hierarchy : list_of(answer, "hierarchies")) {
        const std::string controllers = joined(list_of(hierarchy, "controllers"));
        const std::string compat = text_of(hierarchy, "compat");
        const auto dying = number_of(hierarchy, "dying").value_or(0);
        table.add({text_of(hierarchy, "name"),
                   number_or_dash(hierarchy, "groups") +
                       (dying > 0 ? " + " + std::to_string(dying) + " dying" : ""),
                   number_or_dash(hierarchy, "processes"), compat.empty() ? "-" : compat,
                   controllers.empty() ? "-" : controllers});
    }
    std::string text = print_table(table, look, "no hierarchies");
    if (const std::string unbound = joined(list_of(answer, "unbound")); !unbound.empty()) {
        text += "unbound, everything in one place: " + unbound + "\n";
    }
    return text;
}

std::string render_attributes(const Json& answer, const Look& look) {
    std::string text;
    if (truth_of(answer, "unbound") == Truth::yes) {
        text = paint(look, Tone::faint, "unbound: everything below gpc-init in one place") + "\n";
    }
    Table table({{""}, {""}});
    for (const auto& [name, value] : object_of(answer, "attributes").items()) {
        table.add({name, "= " + value_text(value)});
    }
    for (const auto& line : table.lines(0)) {
        text += line + "\n";
    }
    return text;
}

namespace {

constexpr std::string_view no_limit = "9223372036854775807";  // LONG_MAX, as the original had it

std::string counter_text(const Json& row, const char* name) {
    const auto number = number_of(row, name);
    return pad(number ? std::to_string(*number) : std::string(no_limit), 20, Align::right);
}

}  // namespace

std::string render_beancounters(const Json& answer, const Look& look) {
    std::size_t widest = 3;
    for (const Json& group : list_of(answer, "groups")) {
        widest = std::max(widest, columns(text_of(group, "group")) + 1);
    }
    std::string heading = pad("uid", widest, Align::right) + "  " + pad("resource", 12);
    for (const char* column : {"held", "maxheld", "barrier", "limit", "failcnt"}) {
        heading += " " + pad(column, 20, Align::right);
    }
    std::string text =
        "Version: " + text_of(answer, "version") + "\n" + paint(look, Tone::faint, heading) + "\n";
    for (const Json& group : list_of(answer, "groups")) {
        std::string name = text_of(group, "group") + ":";
        for (const Json& row : list_of(group, "resources")) {
            text += pad(name, widest, Align::right) + "  " + pad(text_of(row, "resource"), 12);
            for (const char* column : {"held", "maxheld", "barrier", "limit", "failcnt"}) {
                text += " " + counter_text(row, column);
            }
            text += "\n";
            name.clear();  // on the first row of a group only
        }
    }
    return text;
}

std::string render_attached(const Json& answer, const Look& look) {
    std::string text;
    for (const Json& process : list_of(answer, "moved")) {
        const auto threads = number_of(process, "threads");
        const auto thread = number_of(process, "tid");
        text += (thread ? "thread " + std::to_string(*thread) + " of " : "") +
                number_or_dash(process, "pid") +
                (threads && *threads > 1 ? " (" + std::to_string(*threads) + " threads)" : "") + ": " +
                place_text(object_of(process, "place")) +
                (truth_of(process, "already") == Truth::yes ? " (already there)" : "") + "\n";
    }
    for (const Json& warning : list_of(answer, "warnings")) {
        text += paint(look, Tone::waiting, "warning: " + value_text(warning)) + "\n";
    }
    return text;
}

std::string render_event(const Json& event, const Look& look) {
    std::string text =
        paint(look, Tone::faint, text_of(event, "time")) + "  " + pad(text_of(event, "event"), 18);
    for (const auto& [key, value] : event.items()) {
        if (key == "seq" || key == "time" || key == "monotonic_ns" || key == "event" || key == "schema" ||
            value.is_null()) {
            continue;
        }
        const std::string said = value.is_object() ? harmless(value.dump()) : value_text(value);
        text += "  " + (key == "unit" || key == "reason" || key == "group" ? said : key + "=" + said);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

}  // namespace gpcsup::cli
