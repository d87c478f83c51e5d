// What `gpcsup why` shows: of a unit, of a group, of a process.

#include "cli/render_lists.h"
#include "cli/text.h"
#include "cli/unit_notes.h"

namespace gpcsup::cli {

namespace {

std::string why_unit(const Json& answer, const Look& look) {
    std::string text;
    std::string indent;
    for (const Json& cause : list_of(answer, "causes")) {
        const std::string state = text_of(cause, "state");
        const std::string reason = text_of(cause, "reason");
        const std::string time = text_of(cause, "time");
        text += indent + (indent.empty() ? "" : "because ") + dot(look, state) + " " +
                paint(look, Tone::strong, text_of(cause, "unit")) + " is " +
                paint(look, tone_of_state(state), state) + (reason.empty() ? "" : ": " + reason);
        text += time.empty() ? "\n" : paint(look, Tone::faint, "  " + time) + "\n";
        indent += "  ";
    }
    if (text.empty()) {
        text = text_of(answer, "unit") + " is " + text_of(answer, "state") + "\n";
    }
    return text;
}

// "refused: REASON  TIME", of an event of the journal.
std::string refusal_line(const Json& event, const Look& look) {
    const std::string what = text_of(event, "event");
    std::string said = text_of(event, "reason");
    if (said.empty()) {
        said = text_of(event, "attribute") + " refused process " + number_or_dash(event, "pid");
    }
    const auto thread = number_of(event, "tid");
    const std::string pid = what != "refused-attach"  ? ""
                            : thread                  ? "thread " + std::to_string(*thread) + ": "
                            : number_of(event, "pid") ? "process " + number_or_dash(event, "pid") + ": "
                                                      : "";
    return "last " + (what.empty() ? "refusal" : what) + ": " + pid + said +
           paint(look, Tone::faint, "  " + text_of(event, "time")) + "\n";
}

std::string why_group(const Json& answer, const Look& look) {
    const std::string reason = text_of(answer, "reason");
    std::string text = paint(look, Tone::strong, text_of(answer, "group")) +
                       (reason.empty() ? " can be removed" : " cannot be removed: " + reason) + "\n";
    for (const Json& child : list_of(answer, "children")) {
        text += "  child " + value_text(child) + "\n";
    }
    const Json& members = list_of(answer, "processes");
    for (const Json& process : members) {
        text += "  process " + number_or_dash(process, "pid") + " " + text_of(process, "command") + "\n";
    }
    const auto count = number_of(answer, "process_count").value_or(0);
    if (const auto shown = static_cast<std::int64_t>(members.size()); count > shown) {
        text += "  and " + std::to_string(count - shown) + " processes more\n";
    }
    const Json& threads = list_of(answer, "threads");
    for (const Json& thread : threads) {
        text += "  thread " + number_or_dash(thread, "tid") + " of process " + number_or_dash(thread, "pid") +
                " " + text_of(thread, "command") + "\n";
    }
    const auto all_threads = number_of(answer, "thread_count").value_or(0);
    if (const auto shown = static_cast<std::int64_t>(threads.size()); all_threads > shown) {
        text += "  and " + std::to_string(all_threads - shown) + " more threads\n";
    }
    for (const Json& reference : list_of(answer, "references")) {
        text += "  held by " + text_of(reference, "controller") + ": " + text_of(reference, "reason") + "\n";
    }
    for (const Json& event : list_of(answer, "refusals")) {
        text += refusal_line(event, look);
    }
    return text;
}

std::string why_process(const Json& answer, const Look& look) {
    std::string text =
        paint(look, Tone::strong, number_or_dash(answer, "pid")) + " " + text_of(answer, "command") + "\n";
    for (const Json& place : list_of(answer, "places")) {
        text += "  in " + text_of(place, "group") + ": " + text_of(place, "reason") + "\n";
    }
    for (const Json& thread : list_of(answer, "threads_apart")) {
        text += "  thread " + number_or_dash(thread, "tid") + " in " +
                all_places_text(object_of(thread, "groups")) + "\n";
    }
    const Json& origin = object_of(answer, "origin");
    const std::string how = text_of(origin, "how");
    const std::string parent = number_or_dash(origin, "parent");
    if (how == "started") {
        text += "started by gpcsupd in its groups\n";
    } else if (how == "attributed") {
        text += "an orphan, attributed by: " + text_of(origin, "by") + "\n";
    } else {
        text += "started in the groups of its parent, now " + parent + "\n";
    }
    if (const Json& attached = object_of(answer, "attached"); !attached.empty()) {
        text += "attached to " + all_places_text(object_of(attached, "place")) + " by event " +
                number_or_dash(attached, "seq") + paint(look, Tone::faint, "  " + text_of(attached, "time")) +
                "\n";
    } else if (truth_of(answer, "moved") == Truth::yes) {
        text += "moved since; the journal no longer says when\n";
    }
    if (const Json& refused = object_of(answer, "refused"); !refused.empty()) {
        text += refusal_line(refused, look);
    }
    return text;
}

}  // namespace

std::string render_why(const Json& answer, const Look& look) {
    if (answer.contains("group")) {
        return why_group(answer, look);
    }
    return answer.contains("pid") ? why_process(answer, look) : why_unit(answer, look);
}

}  // namespace gpcsup::cli
