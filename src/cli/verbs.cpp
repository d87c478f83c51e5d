#include "cli/verbs.h"

#include <algorithm>
#include <array>
#include <string>

#include "cli/handlers.h"

namespace gpcsup::cli {

namespace {

constexpr Option no_wait{"--no-wait", "", "order it and return at once"};
constexpr Option timeout{"--timeout", "D",
                         "stop waiting after this time, as \"30s\" (exit code 2); what was ordered goes on"};
constexpr Option units_directory{"--units", "DIR", "write into this unit directory", Completes::directory};

constexpr Positional one_unit{"UNIT", 1, 1, Completes::unit};
constexpr Positional some_units{"UNIT", 1, 0, Completes::unit};
constexpr Positional any_units{"UNIT", 0, 0, Completes::unit};
constexpr Positional one_group{"HIERARCHY:PATH", 1, 1, Completes::group};

constexpr std::string_view job_details =
    "Waits until it is done. After a second, on a terminal, says what it waits for and until when. When it "
    "fails, the\n"
    "reason and the unit's last log lines are printed and the exit code is 1. A supervisor that is replaced "
    "meanwhile\n"
    "changes nothing: the command reconnects and still gives its answer.";
constexpr std::string_view power_details =
    "Services are stopped in order first. Refused where it makes no sense; the message names the right verb.";
constexpr std::string_view drop_in_details =
    "Writes a drop-in file NAME.d/50-enable.toml (mask: 50-mask.toml) into the configuration's unit "
    "directory. Works\n"
    "without a supervisor. It holds from the next boot on; a running unit is left as it is.";

std::vector<Verb> reading_verbs() {
    using enum Section;
    return {
        {"status",
         reading,
         "shows the supervisor and its units, or some units in full",
         "Without UNIT: one screen, with what is near its limit, was refused, or is not well, and why (exit "
         "code 0).\n"
         "With UNIT: all about each, its processes and last log lines; exit code 3 if one of them is neither "
         "active nor done.",
         {{"-v,--verbose", "", "with every setting of the units named, defaults marked"}},
         {any_units},
         do_status,
         Reads::json},
        {"list", reading, "lists the units, a line each", "", {}, {}, do_list, Reads::json},
        {"tree",
         reading,
         "shows the groups of each hierarchy and the processes in them",
         "",
         {},
         {{"HIERARCHY", 0, 1, Completes::hierarchy}},
         do_tree,
         Reads::json},
        {"ps",
         reading,
         "lists processes with their unit and groups",
         "",
         {},
         {{"UNIT or HIERARCHY:PATH", 0, 1, Completes::unit_or_group}},
         do_ps,
         Reads::json},
        {"top",
         reading,
         "shows the units that use most CPU, again and again",
         "Ends with q or Ctrl-C. Where the output is not a terminal, one table is printed.",
         {{"-d,--delay", "D", "time between two looks (2s)"},
          {"-n,--count", "N", "tables to print (on a terminal: no end)"}},
         {},
         do_top,
         Reads::json},
        {"beancounters",
         reading,
         "shows open files (and tasks) of groups as /proc/user_beancounters did",
         "The groups of the hierarchy that numfiles is bound to, in the place of user ids; without a limit, "
         "the largest number. "
         "failcnt and maxheld are for the life of the group and never reset: compare with what you read "
         "before.",
         {},
         {{"HIERARCHY:PATH", 0, 1, Completes::group}},
         do_beancounters,
         Reads::json},
        {"is-active",
         reading,
         "prints a unit's state; exit code 0 if active, 3 if not",
         "\"active\" and \"reloading\" count as active; a oneshot unit that is done does not run and does "
         "not count.",
         {},
         {one_unit},
         do_is_active,
         Reads::json},
        {"why",
         reading,
         "tells why a unit is in its state, a group cannot be removed, or a process is where it is",
         "Of a unit: the chain of causes. Of a group: what is in the way of removing it, and what was "
         "refused "
         "last. Of a process: its groups, how it got there, and the last attach of it that was refused.",
         {},
         {{"UNIT, HIERARCHY:PATH or PID", 1, 1, Completes::unit}},
         do_why,
         Reads::json},
        {"log",
         reading,
         "prints a unit's log",
         "Works without a supervisor, too, if the log files may be read.",
         {{"-f,--follow", "", "go on with what is written from now on"},
          {"-n,--lines", "N", "only the last N lines (with -f: 10)"},
          {"-t,--time", "", "with the time at which each line came"}},
         {one_unit},
         do_log,
         Reads::json},
        {"events",
         reading,
         "prints what happened, an event a line",
         "Of each kind of filter one has to agree. The names of events are listed in gpcsup(1). Groups of "
         "the "
         "hierarchy unit\n"
         "have no events of their own: use --unit.",
         {{"-f,--follow", "", "go on with what happens from now on"},
          {"--since", "SEQ", "begin at the event of this number"},
          {"-n,--lines", "N", "only the last N"},
          {"--event", "NAME", "only events of this name (may be repeated)", Completes::event},
          {"--unit", "UNIT", "only those about this unit (may be repeated)", Completes::unit},
          {"--group", "HIERARCHY:PATH", "only those about this group or one below it (may be repeated)",
           Completes::group}},
         {},
         do_events,
         Reads::json},
    };
}

std::vector<Verb> service_verbs() {
    using enum Section;
    return {
        {"start",
         services,
         "starts units and what they require",
         job_details,
         {no_wait, timeout},
         {some_units},
         do_start},
        {"stop",
         services,
         "stops units: until no process of theirs is left",
         job_details,
         {no_wait, timeout},
         {some_units},
         do_stop},
        {"restart",
         services,
         "stops and starts units",
         job_details,
         {no_wait, timeout},
         {some_units},
         do_restart},
        {"reload",
         services,
         "has units read their configuration again",
         job_details,
         {no_wait, timeout},
         {some_units},
         do_reload},
        {"kill",
         services,
         "sends a signal to all processes of a unit or group",
         "SIGTERM unless -s says otherwise. SIGKILL to all is: freeze, sweep, kill, until none is left; it "
         "waits for that, and\n"
         "names those that do not end within 9 s (exit code 1).",
         {{"-s,--signal", "SIG", "the signal, by name or number", Completes::signal},
          {"--main", "", "only to the unit's main process"},
          {"--no-wait", "", "do not wait for the end of what is killed"}},
         {{"UNIT or HIERARCHY:PATH", 1, 1, Completes::unit_or_group}},
         do_kill},
        {"run",
         services,
         "runs a command in groups and under limits of its own",
         "Standard input, output and error, the terminal, the directory, the environment and Ctrl-C are "
         "passed. The command\n"
         "gets SIGTERM when this client dies, unless --detach. Exit code: the command's, 128+n when signal n "
         "ended it,\n"
         "125 when gpcsup failed, 126 when the command cannot be executed, 127 when it is not found.",
         {{"-g,--group", "HIERARCHY:PATH", "be born in this group (may be repeated)", Completes::group},
          {"-l,--limit", "ATTRIBUTE=VALUE", "under this limit (may be repeated)", Completes::attribute},
          {"--name", "NAME", "name of the unit (run-…)"},
          {"--detach", "", "print the unit's name and return when it has started"}},
         {{"COMMAND", 1, 0, Completes::command}},
         do_run,
         Reads::no,
         Stops::at_command},
    };
}

std::vector<Verb> group_verbs() {
    using enum Section;
    return {
        {"attach",
         groups,
         "moves processes or units to groups, all or nothing",
         "All threads of each process are moved. What has no colon is a process or a unit, what has one is a "
         "group. If one item is refused, nothing is moved and each item that is in the way is named with its "
         "reason; with --json they are the list \"refused\". A process that is there already is no error. "
         "With "
         "--thread single threads are moved apart from their processes, in hierarchies all of whose "
         "controllers work thread by thread: cpuset, or none at all. What such a thread starts is in the "
         "groups of its process. It comes home when its process is moved in that hierarchy, and ends with an "
         "execve of its process.",
         {{"--thread", "", "PID is a thread's number; the others of its process stay where they are"},
          {"--tree", "", "with all descendants"}},
         {{"PID or UNIT", 1, 1, Completes::unit}, {"HIERARCHY:PATH", 1, 0, Completes::group}},
         do_attach,
         Reads::json},
        {"freeze",
         groups,
         "stops all processes of a group and below, or of a unit, until it is thawed",
         "Waits until all of them stand still; exit code 1 names those that do not within 5 s. Whoever is "
         "born in the group or\n"
         "moved into it is stopped, too. It can still be killed; a unit that is stopped is let go first.",
         {},
         {{"UNIT or HIERARCHY:PATH", 1, 1, Completes::unit_or_group}},
         do_freeze,
         Reads::json},
        {"thaw",
         groups,
         "lets the processes of a frozen group go on",
         "What stood still before it was frozen stays so, and so does what another frozen group holds.",
         {},
         {{"UNIT or HIERARCHY:PATH", 1, 1, Completes::unit_or_group}},
         do_thaw,
         Reads::json},
        {"wait",
         groups,
         "waits until a group is empty, or as the option says",
         "Exit code 0 when it is so, 2 at the timeout, 4 when there is no such group. A group that is "
         "removed "
         "meanwhile is empty.",
         {{"--empty", "", "it and all below have no process (unless another one is given)"},
          {"--populated", "", "it, or one below, has a process"},
          {"--frozen", "", "all of it stands still"},
          {"--thawed", "", "neither it nor one above is frozen"},
          {"--timeout", "D", "stop waiting after this time, as \"30s\" (exit code 2)"}},
         {{"UNIT or HIERARCHY:PATH", 1, 1, Completes::unit_or_group}},
         do_wait,
         Reads::json},
        {"get",
         groups,
         "prints a group's attributes, or one of them",
         "",
         {},
         {one_group, {"ATTRIBUTE", 0, 1, Completes::attribute}},
         do_get,
         Reads::json},
        {"set",
         groups,
         "sets attributes of a group, all or none; until the next boot",
         "No limit is \"max\". To set something for good, write it into gpcsup.toml.",
         {},
         {one_group, {"ATTRIBUTE=VALUE", 1, 0, Completes::attribute}},
         do_set},
        {"group create",
         groups,
         "makes groups",
         "",
         {{"-p,--parents", "", "with what is missing above; no error if it exists"}},
         {{"HIERARCHY:PATH", 1, 0, Completes::group}},
         do_group_create},
        {"group remove",
         groups,
         "removes empty groups",
         "What is in the way is named. With --recursive nothing is removed as long as a process is in one of "
         "the groups;\n"
         "--recursive --kill removes all there is. A group that a controller still holds is dying until that "
         "lets it go.",
         {{"--wait", "[=D]", "wait until it is empty, or for this time (exit code 2)"},
          {"--kill", "", "kill the processes in it first"},
          {"-r,--recursive", "", "with the groups below it"}},
         {{"HIERARCHY:PATH", 1, 0, Completes::group}},
         do_group_remove},
        {"group rename",
         groups,
         "gives a group another name",
         "",
         {},
         {{"HIERARCHY:PATH", 1, 1, Completes::group}, {"NAME", 1, 1, Completes::nothing}},
         do_group_rename},
        {"group list",
         groups,
         "lists groups, all or those below one",
         "",
         {},
         {{"HIERARCHY:PATH", 0, 1, Completes::group}},
         do_group_list,
         Reads::json},
        {"hierarchy create",
         groups,
         "makes a hierarchy with controllers of its own, or with none",
         "All processes are in its root. The same name with the same controllers is success. Until the next "
         "boot. With --compat 2006 every group is counted and limited by itself, whatever is below it; a new "
         "one may have 256 open files, or 512 with privileges; what is refused fails with ENOSPC (fork) and "
         "ENFILE (open); CPU time is in milliseconds.",
         {{"--compat", "2006", "keep to the rules of Generic Process Containers of 2006"}},
         {{"NAME", 1, 1, Completes::nothing}, {"CONTROLLER", 0, 0, Completes::controller}},
         do_hierarchy_create},
        {"hierarchy remove",
         groups,
         "removes a hierarchy that has no groups but its root",
         "Its controllers are unbound then: they account everything in one place, which "
         "\"gpcsup get CONTROLLER:/\" prints.",
         {},
         {{"NAME", 1, 1, Completes::hierarchy}},
         do_hierarchy_remove},
        {"hierarchy rebind",
         groups,
         "gives a hierarchy that has no groups but its root other controllers",
         "Exactly those named; without any it only tracks. What leaves forgets its settings.",
         {},
         {{"NAME", 1, 1, Completes::hierarchy}, {"CONTROLLER", 0, 0, Completes::controller}},
         do_hierarchy_rebind},
        {"hierarchy list",
         groups,
         "lists hierarchies, the controllers bound to them, and those unbound",
         "",
         {},
         {},
         do_hierarchy_list,
         Reads::json},
    };
}

std::vector<Verb> other_verbs() {
    using enum Section;
    return {
        {"poweroff", system, "stops all and turns the machine off", power_details, {}, {}, do_poweroff},
        {"reboot", system, "stops all and boots the machine again", power_details, {}, {}, do_reboot},
        {"halt", system, "stops all and halts the machine", power_details, {}, {}, do_halt},
        {"exit",
         system,
         "stops all and ends the supervisor; waits for that",
         power_details,
         {no_wait, timeout},
         {},
         do_exit},
        {"reexec",
         system,
         "has the supervisor replace itself in place, services go on",
         "gpc-init, gpcsupd, gpc-enforce and gpc-logd are started anew from the files that are installed "
         "now.",
         {},
         {},
         do_reexec},
        {"check",
         files,
         "checks unit files and gpcsup.toml; exit code 1 if there are problems",
         "",
         {},
         {{"FILE", 1, 0, Completes::file}},
         do_check,
         Reads::json},
        {"snapshot",
         files,
         "prints the groups as they are as the gpcsup.toml that would make them",
         "Settings that are not the default, and the placement rules, are in it. Groups that go when they "
         "are "
         "empty (those of units'\n"
         "own, those made by rules) are left out, with a comment.",
         {},
         {},
         do_snapshot,
         Reads::json},
        {"apply",
         files,
         "makes the files on disk be in force: shows the plan, then carries it out",
         "All or nothing: a problem in any file, or a step that would be refused, changes nothing. Units "
         "whose "
         "files changed and that\n"
         "run go on as they are until they are restarted; the plan names them. Groups that were made at run "
         "time "
         "stay.",
         {{"-n,--dry-run", "", "show the plan and change nothing"}},
         {},
         do_apply,
         Reads::json},
        {"enable",
         files,
         "has a unit started at boot",
         drop_in_details,
         {units_directory},
         {some_units},
         do_enable},
        {"disable",
         files,
         "has a unit not started at boot unless another one needs it",
         drop_in_details,
         {units_directory},
         {some_units},
         do_disable},
        {"mask",
         files,
         "makes it impossible to start a unit; enable undoes it",
         drop_in_details,
         {units_directory},
         {some_units},
         do_mask},
        {"completion",
         files,
         "prints a completion script: bash or zsh",
         "\"gpcsup completion words KIND\" prints what the scripts offer (unit, group, hierarchy, "
         "controller, attribute, setting, signal, event);\n"
         "\"gpcsup completion man\" the sections COMMANDS and OPTIONS of gpcsup(1).",
         {},
         {{"bash|zsh|man|words", 1, 1, Completes::nothing}, {"KIND", 0, 1, Completes::nothing}},
         do_completion},
        {"help", files, "explains a verb", "", {}, {{"VERB", 0, 2, Completes::verb}}, do_help},
    };
}

}  // namespace

std::span<const Verb> verbs() {
    static const std::vector<Verb> all = [] {
        std::vector<Verb> rows;
        for (auto& part : {reading_verbs(), service_verbs(), group_verbs(), other_verbs()}) {
            rows.insert(rows.end(), part.begin(), part.end());
        }
        return rows;
    }();
    return all;
}

std::span<const Option> global_options() {
    static constexpr std::array options{
        Option{"--runtime", "DIR",
               "the supervisor with this runtime directory (else $GPCSUP_RUNTIME, your own, /run/gpcsup)",
               Completes::directory},
        Option{"--user", "", "your own supervisor"},
        Option{"--system", "", "the system's supervisor"},
        Option{"-q,--quiet", "", "print nothing but answers and errors"},
        Option{"--no-color", "", "no colours (also with $NO_COLOR set)"},
        Option{"-h,--help", "", "explain and do nothing"},
        Option{"--version", "", "print the version and do nothing"},
    };
    return options;
}

const Verb* find_verb(std::string_view words) {
    const auto all = verbs();
    const auto found = std::ranges::find(all, words, &Verb::words);
    return found == all.end() ? nullptr : &*found;
}

std::string synopsis(const Verb& verb) {
    std::string text(verb.words);
    for (const Option& option : verb.options) {
        text += " [" + std::string(option.flags.substr(0, option.flags.find(',')));
        text += (takes(option) == Takes::value ? " " : "") + std::string(option.value) + "]";
    }
    text += verb.reads == Reads::json ? " [--json]" : "";
    text += verb.stops == Stops::at_command ? " --" : "";
    for (const Positional& positional : verb.positionals) {
        const std::string name = std::string(positional.name) + (positional.most == 0 ? "…" : "");
        text += positional.least == 0 ? " [" + name + "]" : " " + name;
    }
    return text;
}

std::string_view heading(Section section) {
    switch (section) {
        case Section::reading:
            return "Looking";
        case Section::services:
            return "Services and commands";
        case Section::groups:
            return "Groups and limits";
        case Section::system:
            return "The whole";
        case Section::files:
            return "Files and help";
    }
    return "";
}

}  // namespace gpcsup::cli
