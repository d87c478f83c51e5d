#pragma once
// The states of a unit and the only ways from one to another: one table, without a clock, a process or a
// system call.
//
// A unit is *down* in inactive, failed and backoff: none of its processes is left. It is *up* in active,
// reloading and done: those satisfy who requires it. In starting and stopping it is on its way, and waits
// first for others if it must:
//
//   starting   it waits for what it is ordered behind (and for those it conflicts with to go), then its
//   process is
//              launched, then it becomes ready: `simple` when execve succeeded, `notify` at READY=1,
//              `oneshot` at exit 0 (which makes it done, not active), `forking` when the first process exits
//              0 and leaves others behind.
//   stopping   entered because someone wishes it, because what it requires goes away, or because its main
//   process ended
//              by itself. It waits for those ordered behind it, asks its process to end, asks what is left in
//              its group, kills the group at stop_timeout. It leaves the state only when the group is empty;
//              where to was decided when it entered: `rest`, `fail` or `retry`.
//   backoff    it ended, will be started again, and waits for restart_delay to pass.
//   done       a oneshot that finished. It may have left processes behind; they go when it is stopped.
//
// A unit can be stopped from every state, also while it starts. It is never started while it stops: a wish to
// start then is remembered, and obeyed when the group is empty. Everything else that looks like a state
// (waiting, asked, killed) is a Phase of one of these and not shown by name.

#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace gpcsup::units {

enum class State { inactive, starting, active, reloading, stopping, done, failed, backoff };
inline constexpr unsigned state_count = 8;

enum class Event {
    start,    // it is wanted, and nothing forbids it
    ready,    // the service works, or has reloaded
    finish,   // a oneshot exited with 0
    reload,   // it is asked to reload, or says that it does
    stop,     // it shall go, or what it requires goes
    end,      // its main process or its whole group ended by itself, or it did not start in time
    cancel,   // the wish to start is gone before a process was there
    give_up,  // what it requires will not come, before a process was there
    rest,     // stopped, and meant to be
    fail,     // stopped, by failure, for good
    retry,    // stopped, by failure, and to be started again
    clear,    // a failure is forgotten: it was stopped by hand afterwards
    count_
};
inline constexpr unsigned event_count = static_cast<unsigned>(Event::count_);

struct Transition {
    State from;
    Event event;
    State to;
};

inline constexpr std::array transitions = {
    Transition{State::inactive, Event::start, State::starting},
    Transition{State::inactive, Event::give_up, State::failed},

    Transition{State::starting, Event::ready, State::active},
    Transition{State::starting, Event::finish, State::done},
    Transition{State::starting, Event::stop, State::stopping},
    Transition{State::starting, Event::end, State::stopping},
    Transition{State::starting, Event::cancel, State::inactive},
    Transition{State::starting, Event::give_up, State::failed},

    Transition{State::active, Event::reload, State::reloading},
    Transition{State::active, Event::stop, State::stopping},
    Transition{State::active, Event::end, State::stopping},

    Transition{State::reloading, Event::ready, State::active},
    Transition{State::reloading, Event::stop, State::stopping},
    Transition{State::reloading, Event::end, State::stopping},

    Transition{State::stopping, Event::rest, State::inactive},
    Transition{State::stopping, Event::fail, State::failed},
    Transition{State::stopping, Event::retry, State::backoff},

    Transition{State::done, Event::stop, State::stopping},

    Transition{State::failed, Event::start, State::starting},
    Transition{State::failed, Event::clear, State::inactive},

    Transition{State::backoff, Event::start, State::starting},
    Transition{State::backoff, Event::cancel, State::inactive},
    Transition{State::backoff, Event::give_up, State::failed},
};

// Nothing when the table has no such row: the event does not apply in that state.
constexpr std::optional<State> next_state(State from, Event event) {
    for (const Transition& row : transitions) {
        if (row.from == from && row.event == event) {
            return row.to;
        }
    }
    return std::nullopt;
}

constexpr bool is_up(State state) {
    return state == State::active || state == State::reloading || state == State::done;
}
constexpr bool is_down(State state) {
    return state == State::inactive || state == State::failed || state == State::backoff;
}

}  // namespace gpcsup::units
