#include "init/loop.h"

#include <poll.h>
#include <signal.h>

#include <cerrno>

#include "init/emergency.h"
#include "init/helpers.h"
#include "init/priority.h"
#include "init/protocol.h"
#include "init/reaper.h"
#include "init/say.h"
#include "init/shutdown.h"
#include "init/signals.h"

namespace gpcsup::init {

namespace {

using wire::HelperKind;

enum Place : unsigned {
    signal_place,
    handover_place,
    first_helper_place,
    place_count = first_helper_place + helper_count
};

constexpr Nanoseconds stop_patience = 3 * second;

class Loop {
  public:
    Loop(State& state, wire::ExitRing& ring, int signals) : state_(state), ring_(ring), signals_(signals) {}

    [[noreturn]] void run() {
        fulfil();  // what the image before was asked for and waited with
        for (;;) {
            start_due(state_);
            tell_all();
            wait();
            hear_signals();
            hear_helpers();
            look_after_children();
            end_silent(state_);
            beat(state_);
            fulfil();
            breather_.breathe();
        }
    }

  private:
    void tell_all() {
        for (unsigned i = 0; i < helper_count; ++i) {
            if (owing(state_, static_cast<HelperKind>(i), ring_) == Owing::something) {
                tell(state_, static_cast<HelperKind>(i), ring_);
            }
        }
    }

    void wait() {
        places_[signal_place] = {signals_, POLLIN, 0};
        places_[handover_place] = {state_.handover, POLLIN, 0};
        for (unsigned i = 0; i < helper_count; ++i) {
            const Helper& helper = state_.helpers[i];
            short events = helper.answer.waiting != 0 ? 0 : POLLIN;
            if (helper.full != 0 && owing(state_, static_cast<HelperKind>(i), ring_) == Owing::something) {
                events |= POLLOUT;
            }
            places_[first_helper_place + i] = {helper.socket, events,
                                               0};  // a negative descriptor is passed over
        }
        const Nanoseconds time = now();
        const Nanoseconds next = next_due(state_);
        const Nanoseconds due = children_ == Reaped::again ? time : next < stop_by_ ? next : stop_by_;
        const timespec left = to_timespec(due > time ? due - time : 0);
        if (ppoll(places_, place_count, due == never ? nullptr : &left, nullptr) < 0) {
            for (pollfd& place : places_) {
                place.revents = 0;
            }
        }
    }

    void hear_signals() {
        if (places_[signal_place].revents == 0) {
            return;
        }
        SignalNews news = read_signals(signals_);
        child_news_ = child_news_ || news.child;
        if (news.insisted && state_.role == Role::machine) {
            reboot_now();
        }
        helper_of(state_, HelperKind::supervisor).owed_signals |= news.decisions;
        // The wish to end outlives the gpcsupd that was told of it.
        constexpr std::uint64_t ending =
            (std::uint64_t{1} << SIGTERM) | (std::uint64_t{1} << SIGINT) | (std::uint64_t{1} << SIGPWR);
        state_.lasting_signals |= static_cast<std::uint32_t>(news.decisions & ending);
    }

    void hear_helpers() {
        for (unsigned i = 0; i < helper_count; ++i) {
            const short events = places_[first_helper_place + i].revents;
            if ((events & POLLOUT) != 0) {
                state_.helpers[i].full = 0;
            }
            if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
                listen_to(state_, static_cast<HelperKind>(i), wishes_);
            }
        }
        if (places_[handover_place].revents != 0) {
            listen_to_handover(state_);
        }
    }

    // After SIGCHLD: our own children one by one, since any number of zombies may be listed before them; then
    // the rest.
    void look_after_children() {
        if (child_news_ || children_ == Reaped::own) {
            look_after_own();
            child_news_ = false;
            children_ = Reaped::again;
        }
        if (children_ == Reaped::again || (children_ == Reaped::full && wishes_.drained)) {
            children_ = reap_strangers(state_, ring_);
            if (children_ == Reaped::own) {
                look_after_own();
                children_ = Reaped::again;
            }
        }
        wishes_.drained = false;
    }

    void look_after_own() {
        for (unsigned i = 0; i < helper_count; ++i) {
            const auto kind = static_cast<HelperKind>(i);
            if (state_.helpers[i].life != Life::running) {
                continue;
            }
            OwnDeath death = check_own(state_.helpers[i].pid);
            if (death.pid != 0 && (death.code == CLD_STOPPED || death.code == CLD_TRAPPED)) {
                kill_helper(state_, kind, "was stopped");
            } else if (death.pid != 0) {
                bury(state_, kind, death);
            }
        }
        if (state_.shell != 0 && check_own(state_.shell).pid != 0) {
            state_.shell = 0;
            helper_of(state_, HelperKind::supervisor).not_before = now();
            say("the emergency shell has ended: trying gpcsupd again");
        }
    }

    void fulfil() {
        if (state_.stop.wished != 0) {
            stop();
        }
        if (wishes_.reexec) {
            wishes_.reexec = false;
            say("replacing itself, as asked");
            mark_outdated(state_);
            replace_self(state_);
            say("cannot replace itself: %s", error_text(errno));
            replace_outdated(state_);
        }
        if (hope_for_supervisor(state_) == Hope::none) {
            give_up();
        }
    }

    // Refuses what makes no sense here; else waits until gpc-logd can take up what is still in the pipes, and
    // ends.
    void stop() {
        const bool exits = state_.stop.how == wire::StopHow::exit;
        if (exits && state_.role == Role::machine) {
            say("gpcsupd asked the machine's first process to exit: refused");
            state_.stop.wished = 0;
        } else if (!exits && state_.role == Role::subreaper) {
            say("gpcsupd asked a process that is not PID 1 to stop the machine: refused");
            state_.stop.wished = 0;
        } else if (logs_are_served() || now() >= stop_by_) {
            exits ? leave(state_, state_.stop.status) : stop_system(state_, state_.stop.how);
        }
    }

    bool logs_are_served() {
        Helper& logs = helper_of(state_, HelperKind::logd);
        if (stop_by_ == never) {
            stop_by_ = now() + stop_patience;
            if (logs.life == Life::waiting) {
                logs.not_before = now();  // once: what fails again is not waited for
            }
        }
        return logs.life == Life::absent || (logs.life == Life::running && logs.ready != 0);
    }

    void give_up() {
        if (state_.role != Role::machine) {
            say("gpcsupd has failed %u times in a row before it was ready: giving up", most_failures);
            leave(state_, given_up_status);
        }
        if (state_.shell == 0) {
            start_shell(state_, "gpcsupd has failed five times in a row before it was ready.");
        }
        // It is tried again when the shell ends; if not even a shell can be started, after a while.
        Helper& supervisor = helper_of(state_, HelperKind::supervisor);
        supervisor.not_before = state_.shell != 0 ? never : now() + 10 * second;
        supervisor.failures = 0;
    }

    State& state_;
    wire::ExitRing& ring_;
    int signals_;
    Wishes wishes_;
    Nanoseconds stop_by_ = never;  // a stop was asked for: when it comes at the latest
    bool child_news_ = true;       // what happened before the signals were taken in
    Reaped children_ = Reaped::all;
    Breather breather_;
    pollfd places_[place_count] = {};
};

}  // namespace

void run(State& state, wire::ExitRing& ring, int signals) {
    Loop(state, ring, signals).run();
}

}  // namespace gpcsup::init
