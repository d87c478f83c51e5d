#include "cli/render_status.h"

#include <algorithm>
#include <array>
#include <map>

#include "cli/text.h"
#include "cli/tree.h"
#include "cli/unit_notes.h"

namespace gpcsup::cli {

namespace {

constexpr std::size_t log_lines_in_overview = 2;
constexpr std::size_t processes_in_block = 30;

std::string join_wrapped(const std::vector<std::string>& parts, const Look& look) {
    const std::string between = look.glyphs == Glyphs::unicode ? " · " : " - ";
    std::string text;
    std::size_t used = 0;
    for (const auto& part : parts) {
        const std::size_t size = columns(part);
        if (used > 0 && look.width > 0 && used + 3 + size > look.width) {
            text += "\n  ";
            used = 2;
        } else if (used > 0) {
            text += between;
            used += 3;
        }
        text += part;
        used += size;
    }
    return text + "\n";
}

void add_part(std::vector<std::string>& parts, std::string_view label, const std::string& value) {
    if (!value.empty()) {
        parts.push_back(std::string(label) + value);
    }
}

std::string number_text(const Json& object, const char* key) {
    const auto number = number_of(object, key);
    return number ? std::to_string(*number) : std::string();
}

std::string header(const Json& supervisor, const Look& look) {
    std::vector<std::string> parts{paint(look, Tone::strong, "gpcsup " + text_of(supervisor, "version"))};
    add_part(parts, "", text_of(supervisor, "mode"));
    add_part(parts, "", text_of(supervisor, "runtime"));
    add_part(parts, "init ", number_text(supervisor, "init_pid"));
    const std::string tracking = text_of(supervisor, "tracking");
    const std::string reason = text_of(supervisor, "tracking_reason");
    add_part(parts, "tracking ",
             tracking == "exact" || reason.empty() ? tracking : tracking + " (" + reason + ")");
    const std::string state = text_of(supervisor, "state");
    parts.push_back(paint(look, tone_of_state(state), state));
    if (const auto uptime = number_of(supervisor, "uptime_ns")) {
        add_part(parts, "up ", base::describe_duration(std::chrono::seconds(*uptime / 1'000'000'000)));
    }
    std::string text = join_wrapped(parts, look);
    for (const Json& warning : list_of(supervisor, "warnings")) {
        for (const auto& line : wrap("warning: " + value_text(warning), look.width)) {
            text += paint(look, Tone::waiting, line) + "\n";
        }
    }
    return text;
}

enum Cell : std::size_t {
    unit_cell,
    state_cell,
    since_cell,
    pid_cell,
    processes_cell,
    cpu_cell,
    groups_cell,
    cell_count
};
using Cells = std::array<std::string, cell_count>;

Cells cells_of(const Json& unit, const Look& look) {
    const std::string state = text_of(unit, "state");
    const auto pid = number_of(unit, "pid");
    const std::int64_t processes = number_of(unit, "processes").value_or(0);
    const auto cpu = number_of(unit, "cpu_ns");
    const std::size_t most = look.width == 0 ? 0 : std::max<std::size_t>(12, look.width / 3);
    Cells cells;
    cells[unit_cell] = dot(look, state) + " " + paint(look, Tone::strong, cut(text_of(unit, "name"), most));
    cells[state_cell] = paint(look, tone_of_state(state), state);
    cells[since_cell] = since(look, number_of(unit, "since_ns").value_or(0));
    cells[pid_cell] = pid ? std::to_string(*pid) : "-";
    cells[processes_cell] = processes > 0 ? std::to_string(processes) : "-";
    cells[cpu_cell] = cpu && *cpu > 0 ? cpu_time(*cpu) : "-";
    cells[groups_cell] = place_text(object_of(unit, "place"));
    return cells;
}

// Which cells have room; the last to go are the name and the state.
std::vector<Cell> chosen_cells(const std::vector<Cells>& rows, const Cells& headings, std::size_t width) {
    std::vector<Cell> chosen{unit_cell,      state_cell, since_cell, pid_cell,
                             processes_cell, cpu_cell,   groups_cell};
    const auto needed = [&] {
        std::size_t sum = 0;
        for (const Cell cell : chosen) {
            std::size_t most = columns(headings[cell]);
            for (const Cells& row : rows) {
                most = std::max(most, columns(row[cell]));
            }
            sum += most + 2;
        }
        return sum - 2;
    };
    for (const Cell victim : {groups_cell, since_cell, cpu_cell, processes_cell, pid_cell}) {
        if (width == 0 || needed() <= width) {
            break;
        }
        std::erase(chosen, victim);
    }
    return chosen;
}

std::vector<std::string> table_lines(const Json& units, const Look& look) {
    const Cells headings{"  UNIT", "STATE", "SINCE", "PID", "PROCS", "CPU", "GROUPS"};
    std::vector<Cells> rows;
    for (const Json& unit : units) {
        rows.push_back(cells_of(unit, look));
    }
    const std::vector<Cell> chosen = chosen_cells(rows, headings, look.width);
    std::vector<Table::Column> described;
    for (const Cell cell : chosen) {
        const bool number = cell == pid_cell || cell == processes_cell || cell == cpu_cell;
        described.push_back({headings[cell], number ? Align::right : Align::left});
    }
    Table table(described);
    for (const Cells& row : rows) {
        std::vector<std::string> cells;
        cells.reserve(chosen.size());
        for (const Cell cell : chosen) {
            cells.push_back(row[cell]);
        }
        table.add(std::move(cells));
    }
    return table.lines(look.width);
}

void append_note(std::string& text, const Note& note, const Look& look, std::string_view indent) {
    const std::size_t width = look.width > indent.size() + 20 ? look.width - indent.size() : 0;
    for (const auto& line : wrap(note.text, width)) {
        text += std::string(indent) + paint(look, note.tone, line) + "\n";
    }
}

std::vector<Note> log_notes(const Json& unit, const Look& look, std::size_t most, std::size_t indent) {
    const Json& tail = list_of(unit, "log_tail");
    std::vector<Note> notes;
    for (std::size_t i = tail.size() > most ? tail.size() - most : 0; i < tail.size(); ++i) {
        const std::size_t width = look.width > indent + 20 ? look.width - indent : 0;
        notes.push_back({Tone::faint, cut(value_text(tail[i]), width)});
    }
    return notes;
}

std::string notes_under_row(const Json& unit, const Look& look) {
    const std::string indent(4, ' ');
    std::string text;
    std::vector<Note> notes = state_notes(unit, look);
    for (const auto& more : {frozen_notes(unit), edge_notes(unit), enforcement_notes(unit)}) {
        notes.insert(notes.end(), more.begin(), more.end());
    }
    for (const Note& note : notes) {
        append_note(text, note, look, indent);
    }
    const std::string state = text_of(unit, "state");
    if (state == "failed" || state == "backoff") {
        for (const Note& line : log_notes(unit, look, log_lines_in_overview, indent.size() + 2)) {
            text += indent + paint(look, Tone::faint, "| " + line.text) + "\n";
        }
    }
    return text;
}

std::string footer(const Json& status, const Look& look) {
    const Json& units = list_of(status, "units");
    std::map<std::string, int> states;
    for (const Json& unit : units) {
        ++states[text_of(unit, "state")];
    }
    std::string text = std::to_string(units.size()) + (units.size() == 1 ? " unit" : " units");
    const char* between = ": ";
    for (const char* state :
         {"failed", "backoff", "starting", "stopping", "reloading", "active", "done", "inactive"}) {
        if (const auto found = states.find(state); found != states.end()) {
            text += between + paint(look, tone_of_state(state), std::to_string(found->second) + " " + state);
            between = ", ";
        }
    }
    if (const std::int64_t others = number_of(status, "unattributed").value_or(0); others > 0) {
        text += "; " + std::to_string(others) + (others == 1 ? " process" : " processes") + " of no unit";
    }
    return text + "\n";
}

std::string no_units(const Json& status) {
    const Json& directories = list_of(object_of(status, "supervisor"), "unit_directories");
    std::string text = "no units";
    if (!directories.empty()) {
        text += ": write one into " + value_text(directories.front()) + "/NAME.toml";
    }
    return text + "\n";
}

// A line of a unit's block: the label right-aligned, what follows it indented.
class Block {
  public:
    explicit Block(const Look& look) : look_(look) {}
    void add(std::string_view label, const std::string& value, Tone tone = Tone::plain) {
        if (value.empty()) {
            return;
        }
        std::string front =
            paint(look_, Tone::faint, pad(std::string(label) + ":", indent, Align::right)) + " ";
        for (const auto& line : wrap(value, room())) {
            text_ += std::exchange(front, std::string(indent + 1, ' ')) + paint(look_, tone, line) + "\n";
        }
    }
    void add_lines(std::string_view label, const std::vector<std::string>& lines) {
        std::string front =
            paint(look_, Tone::faint, pad(std::string(label) + ":", indent, Align::right)) + " ";
        for (const auto& line : lines) {
            text_ += std::exchange(front, std::string(indent + 1, ' ')) + line + "\n";
        }
    }
    void add_notes(std::string_view label, const std::vector<Note>& notes) {
        for (const Note& note : notes) {
            add(label, note.text, note.tone);
        }
    }
    [[nodiscard]] std::size_t room() const {
        return look_.width > indent + 21 ? look_.width - indent - 1 : 0;
    }
    [[nodiscard]] const std::string& text() const { return text_; }

    static constexpr std::size_t indent = 12;

  private:
    const Look& look_;
    std::string text_;
};

std::string state_line(const Json& unit, const Look& look) {
    const std::string state = text_of(unit, "state");
    std::string text = paint(look, tone_of_state(state), state);
    if (const auto when = number_of(unit, "since_ns"); when.value_or(0) > 0) {
        text += " since " + local_time(*when) + " (" + since(look, *when) + ")";
    }
    return text;
}

std::string last_result(const Json& unit) {
    if (const auto code = number_of(unit, "exit_code")) {
        return "exit code " + std::to_string(*code);
    }
    if (const std::string signal = text_of(unit, "signal"); !signal.empty()) {
        return "ended by signal " + signal;
    }
    const auto signal = number_of(unit, "signal");
    return signal ? "ended by signal " + std::to_string(*signal) : std::string();
}

void add_settings(Block& block, const Json& unit, const Look& look) {
    std::size_t width = 0;
    for (const Json& setting : list_of(unit, "settings")) {
        width = std::max(width, columns(text_of(setting, "key")));
    }
    std::vector<std::string> lines;
    for (const Json& setting : list_of(unit, "settings")) {
        const bool given = truth_of(setting, "default") != Truth::yes;
        const Json& value = setting.contains("value") ? setting["value"] : Json();
        const std::string text = pad(text_of(setting, "key"), width) + " = " +
                                 (value.is_null()     ? "\"max\""
                                  : value == ""       ? "\"\""
                                  : value.is_string() ? value_text(value)
                                                      : harmless(value.dump()));
        lines.push_back(given ? text : paint(look, Tone::faint, text + " (default)"));
    }
    if (!lines.empty()) {
        block.add_lines("Settings", lines);
    }
}

}  // namespace

std::string render_overview(const Json& status, const Look& look) {
    std::string text = header(object_of(status, "supervisor"), look) + "\n";
    const Json& units = list_of(status, "units");
    if (units.empty()) {
        return text + no_units(status);
    }
    const std::vector<std::string> lines = table_lines(units, look);
    text += paint(look, Tone::faint, lines.front()) + "\n";
    for (std::size_t i = 0; i < units.size(); ++i) {
        text += lines[i + 1] + "\n" + notes_under_row(units[i], look);
    }
    return text + "\n" + footer(status, look);
}

std::string render_unit(const Json& unit, const Json& processes, const Look& look) {
    const std::string state = text_of(unit, "state");
    const std::string description = text_of(unit, "description");
    std::string text = dot(look, state) + " " + paint(look, Tone::strong, text_of(unit, "name")) +
                       (description.empty() ? "" : " - " + description) + "\n";
    Block block(look);
    block.add("State", state_line(unit, look));
    block.add_notes("Why", state_notes(unit, look));
    block.add_notes("Why", frozen_notes(unit));
    const std::string enabled = truth_of(unit, "enabled") == Truth::no ? "not started at boot" : "";
    block.add("Type", text_of(unit, "type") + (enabled.empty() ? "" : ", " + enabled));
    block.add("Main pid", number_text(unit, "pid"));
    block.add("Last", state == "active" || state == "starting" ? "" : last_result(unit));
    if (number_of(unit, "restarts").value_or(0) > 0) {
        block.add("Restarts", number_text(unit, "restarts"));
    }
    if (const auto cpu = number_of(unit, "cpu_ns"); cpu && *cpu > 0) {
        block.add("CPU", cpu_time(*cpu));
    }
    block.add("Groups", place_text(object_of(unit, "place")));
    for (const Json& limit : list_of(unit, "limits")) {
        block.add("Limit", limit_text(limit));
    }
    for (const auto& [controller, how] : object_of(unit, "enforcement").items()) {
        const std::string value = value_text(how);
        block.add("Enforcement", controller + " is " + value,
                  value.starts_with("observed") ? Tone::waiting : Tone::plain);
    }
    if (const Json& list = list_of(processes, "processes"); !list.empty()) {
        block.add_lines("Processes", draw(process_branches(list), look, block.room(), processes_in_block));
    }
    add_settings(block, unit, look);
    block.add("Log", text_of(unit, "log"));
    text += block.text();
    for (const Note& line : log_notes(unit, look, 10, 2)) {
        text += "  " + paint(look, Tone::faint, line.text) + "\n";
    }
    return text;
}

}  // namespace gpcsup::cli
