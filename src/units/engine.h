#pragma once
// The heart: wishes and events in, actions out. Pure: no system call, no clock (every input is told the
// time), no recursion.
//
// There are no jobs. A unit *is wanted* when somebody asked for it by name, or when a unit that is wanted
// pulls it in, and nobody has stopped it by name since (`held`). From that everything follows, in two phases
// that alternate until quiet:
//   1. wishes: each change of "is wanted" is passed on to what the unit pulls in, by counting (pulling edges
//   have no cycle);
//   2. steps: one unit after the other looks at itself and its neighbours and does what it can: starts,
//   waits, gives up,
//      stops. Whatever changed queues its neighbours. Only `enter` changes a state, and only as the table in
//      state.h says.
//
// The caller's duty, in this order after every input: journal take_changed(), then carry out take_actions(),
// and say carried_out(unit) for each that is not a mere report. A successor restores every UnitState, tells
// what happened meanwhile (process_started for start slots that have a pid, exits, groups now empty), then
// calls resume(), which repeats the actions that were not confirmed (after stop_all, if that had been
// called). The result of execve is told before the exit of the same process, and the group's membership is
// brought up to date before it.

#include <deque>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "units/graph.h"
#include "units/unit_state.h"

namespace gpcsup::units {

enum class ActionKind : std::uint8_t {
    start_process,       // clone gpc-exec with the unit's command; then process_started or exec_failed
    run_stop_command,    // then command_exited
    run_reload_command,  // then command_exited
    send_stop_signal,    // `signal` to `process`, or to the whole group when its pid is 0
    send_reload_signal,  // SIGHUP to `process`
    terminate_group,     // SIGTERM (and SIGCONT) to all that are left
    kill_group,          // SIGKILL until empty
    state_changed,       // a report: `from`, `to`, `reason`
    removed,             // a report: a transient or leaving unit is gone; `exit` is its last status
    all_quiet,           // a report: after stop_all, nothing is left
};

struct Action {
    ActionKind kind;
    std::string unit;
    State from = State::inactive;
    State to = State::inactive;
    std::string reason;
    base::ProcessId process;
    int signal = 0;
    std::optional<ExitStatus> exit;
};

enum class Progress { under_way, up, down };  // what a waiting client is told

enum class Change { add, remove, update, restart };  // one line of the plan of `apply`

struct PlannedChange {
    std::string unit;
    Change change;
    std::vector<std::string> keys;  // of update and restart: what differs
};

class Engine {
  public:
    explicit Engine(UnitGraph graph);

    // Wishes. ENOENT with a suggestion; EINVAL for a unit that is refused; ESHUTDOWN once stop_all was
    // called.
    base::Result<> wish_start(std::string_view unit, TimePoint now);
    base::Result<> wish_stop(std::string_view unit, TimePoint now);
    base::Result<> wish_restart(std::string_view unit, TimePoint now);       // starts it when it is down
    base::Result<> wish_reload(std::string_view unit, TimePoint now);        // EAGAIN unless it is active
    base::Result<> start_transient(Declaration declaration, TimePoint now);  // EEXIST
    void stop_all(TimePoint now);

    // `apply`: the files as they are now. Units that run keep running; changed ones are restarted by the
    // caller's wish.
    [[nodiscard]] std::vector<PlannedChange> plan(const UnitGraph& next) const;
    void replace_graph(UnitGraph next, TimePoint now);

    // What happened. Names that are unknown, and events that come too late to matter, are ignored.
    void process_started(std::string_view unit, base::ProcessId process, TimePoint now);
    void exec_succeeded(std::string_view unit, TimePoint now);
    void exec_failed(std::string_view unit, std::string_view reason,
                     TimePoint now);                       // "step user: unknown user 'x'"
    void ready(std::string_view unit, TimePoint now);      // READY=1
    void reloading(std::string_view unit, TimePoint now);  // RELOADING=1
    void extend_timeout(std::string_view unit, base::Duration by, TimePoint now);  // EXTEND_TIMEOUT_USEC
    void main_changed(std::string_view unit, base::ProcessId process);             // MAINPID
    void main_exited(std::string_view unit, base::ProcessId process, ExitStatus status, TimePoint now);
    void command_exited(std::string_view unit, ExitStatus status,
                        TimePoint now);  // of run_stop_ or run_reload_command
    void group_empty(std::string_view unit, TimePoint now);
    void group_populated(
        std::string_view unit);  // also at recovery, for a group that is found to have processes
    void carried_out(std::string_view unit);
    void set_intent(std::string_view unit, std::uint64_t intent);
    void tick(TimePoint now);

    // What is to be done. The changed states include the last one of a unit that is gone: find() does not
    // know it any more.
    [[nodiscard]] std::vector<Action> take_actions() { return std::exchange(actions_, {}); }
    [[nodiscard]] std::vector<UnitState> take_changed();
    [[nodiscard]] std::optional<TimePoint> next_deadline() const;
    [[nodiscard]] bool quiet() const;  // no unit has a process, or is about to

    // After a crash: restore, tell what happened meanwhile, resume. What is told before resume is taken down,
    // and acted on by resume only, when everything is known. Unknown units (transient ones are declared first
    // by restore_transient) come back as leaving ones.
    void restore_transient(Declaration declaration);
    void restore(UnitState state);
    void resume(TimePoint now);

    // Reading.
    [[nodiscard]] const UnitState* find(std::string_view unit) const;
    [[nodiscard]] const Declaration* declaration(std::string_view unit) const;
    // The unit whose main process this is; empty when it is none's. Without a copy: asked at every exit.
    [[nodiscard]] std::string_view unit_of_main(base::ProcessId process) const;
    // A start was ordered, and neither process_started nor exec_failed has been told yet: at recovery, whose
    // start slots count.
    [[nodiscard]] bool expects_process(std::string_view unit) const;
    [[nodiscard]] std::vector<std::string_view> names() const { return graph_.names(); }
    // Also while it waits: "waiting: for db".
    [[nodiscard]] std::string reason(std::string_view unit) const;
    // One sentence; empty when it waits for nothing.
    [[nodiscard]] std::string waiting_for(std::string_view unit, TimePoint now) const;
    // The chain of causes as names of units, itself first: each is as it is because of the next. reason()
    // says why.
    [[nodiscard]] std::vector<std::string> why(std::string_view unit) const;
    [[nodiscard]] Progress progress(std::string_view unit) const;
    // Starts before start_limit, or unlimited_starts.
    [[nodiscard]] unsigned tries_left(std::string_view unit, TimePoint now) const;

  private:
    struct Unit {
        UnitState state;
        std::uint32_t pulled_by = 0;  // wanted units that pull it in
        bool wanted = false;          // as last passed on
        bool wish_queued = false;
        bool step_queued = false;
        bool changed = false;
    };
    enum class Verdict { go, wait, hopeless };
    struct Blocker {
        Verdict verdict = Verdict::go;
        UnitId unit;
        EdgeKind kind = EdgeKind::after;
    };

    // engine_wishes.cpp
    base::Result<UnitId> known(std::string_view name) const;
    [[nodiscard]] bool is_wanted(UnitId id) const;
    void pull_in(UnitId id);
    void make_due(UnitId id);
    void hold(UnitId id);
    void settle_wish(UnitId id);
    void forget_failures(UnitId id);
    void recount(const std::vector<bool>& wanted_before);
    void settle_wishes();
    void keep_running(const std::vector<bool>& wanted_before);
    void drain();
    bool drain_some();

    // engine_steps.cpp
    void step(UnitId id);
    void step_down(UnitId id);
    void step_starting(UnitId id);
    void step_up(UnitId id);
    void step_stopping(UnitId id);
    void begin_start(UnitId id);
    void launch(UnitId id);
    void stop(UnitId id, std::string reason);
    void ask(UnitId id);
    void ask_leftovers(UnitId id);
    void kill(UnitId id);
    void conclude(UnitId id);
    void retry_or_fail(UnitId id);
    bool remove_if_over(UnitId id);
    [[nodiscard]] Blocker start_blocker(UnitId id) const;
    [[nodiscard]] std::optional<UnitId> stop_blocker(UnitId id) const;
    [[nodiscard]] std::optional<UnitId> lost_need(UnitId id) const;
    [[nodiscard]] Verdict judge(const Edge& edge) const;
    [[nodiscard]] bool comes(UnitId id) const;
    [[nodiscard]] bool has_body(UnitId id) const;
    [[nodiscard]] bool will_stop(UnitId id) const;
    [[nodiscard]] std::string stop_reason(UnitId id) const;
    [[nodiscard]] std::string describe_need(UnitId id) const;
    [[nodiscard]] std::optional<UnitId> cause(UnitId id) const;

    // engine_events.cpp
    Unit* lookup(std::string_view name, UnitId& id);
    void end(UnitId id, Ending ending, std::string reason);
    void expire(UnitId id);

    // engine.cpp
    void enter(UnitId id, Event event, std::string reason);
    void set_deadline(UnitId id, std::optional<TimePoint> deadline);
    void deadline_in(UnitId id, base::Duration duration);
    void act(UnitId id, ActionKind kind);
    void repeat_action(UnitId id);
    void changed(UnitId id);
    void queue_wish(UnitId id);
    void queue_step(UnitId id);
    void queue_neighbours(UnitId id);
    UnitId insert(Declaration declaration, Origin origin);
    Unit& unit(UnitId id) { return units_[id.value]; }
    [[nodiscard]] const Unit& unit(UnitId id) const { return units_[id.value]; }
    [[nodiscard]] const Declaration& declared(UnitId id) const { return *graph_[id].declaration; }
    [[nodiscard]] const std::string& name(UnitId id) const { return graph_[id].declaration->name; }

    UnitGraph graph_;
    std::vector<Unit> units_;  // row for row with the graph
    std::deque<UnitId> wishes_;
    std::deque<UnitId> steps_;
    std::vector<UnitId> changed_;
    std::vector<UnitState> gone_;  // the last states of removed units, for take_changed
    std::vector<Action> actions_;
    std::set<std::pair<TimePoint, UnitId>> deadlines_;
    TimePoint now_{};
    bool stopping_all_ = false;
    bool told_quiet_ = false;
    enum class Recovery { over, restoring, counted };  // between restore and resume nothing is decided
    Recovery recovery_ = Recovery::over;
    bool recounting_ = false;  // wishes are only counted anew: nothing becomes due by it
};

}  // namespace gpcsup::units
