#pragma once
// A machine in virtual time around an Engine: it carries out actions as a supervisor would, plays the
// processes as each unit's Behaviour says, and checks after every step what must always hold.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "units/engine.h"

namespace gpcsup::units::test {

using namespace std::chrono_literals;

inline constexpr ExitStatus exit_with(int status) {
    return {ExitKind::exited, status};
}
inline constexpr ExitStatus killed_by(int signal) {
    return {ExitKind::killed, signal};
}

struct Behaviour {                        // of one life of a unit's main process
    std::string exec_error;               // not empty: gpc-exec fails with it
    std::optional<base::Duration> ready;  // READY=1 after this
    std::optional<base::Duration> lives;  // ends by itself after this
    ExitStatus exit = exit_with(0);
    std::optional<base::Duration> obeys =
        base::Duration::zero();  // ends so long after the stop signal; none: ignores it
    ExitStatus stopped_exit = exit_with(0);
    bool leaves_child = false;  // another process of the group outlives it
    std::optional<base::Duration> child_obeys =
        base::Duration::zero();                 // …until so long after SIGTERM; none: SIGKILL
    std::optional<base::Duration> child_lives;  // …or ends by itself after this
    bool immortal = false;                      // not even SIGKILL helps
};

Declaration service(std::string name, ServiceType type = ServiceType::simple);
Declaration target(std::string name);

class World {
  public:
    explicit World(std::vector<Declaration> declarations);

    Engine& engine() { return *engine_; }
    TimePoint now() const { return now_; }
    std::map<std::string, std::function<Behaviour(unsigned life)>> behaviours;  // absent: runs until stopped
    std::function<ExitStatus(const std::string&)> command_exit = [](const std::string&) {
        return exit_with(0);
    };

    void start(const std::string& unit) { REQUIRE_OK(engine_->wish_start(unit, now_)); }
    void stop(const std::string& unit) { REQUIRE_OK(engine_->wish_stop(unit, now_)); }
    void restart(const std::string& unit) { REQUIRE_OK(engine_->wish_restart(unit, now_)); }
    void settle();                                     // carries out what is to be done now
    void run_for(base::Duration time);                 // and lets time pass
    void run_until_idle(base::Duration at_most = 1h);  // until nothing is planned any more
    enum class Crash { between_actions, losing_actions };
    // As a crash of gpcsupd does; the world goes on for DOWNTIME before the successor is told and resumes.
    void replace_engine(Crash crash, base::Duration downtime = {});

    State state(const std::string& unit) const { return engine_->find(unit)->state; }
    std::string reason(const std::string& unit) const { return engine_->reason(unit); }
    bool has_processes(const std::string& unit) const;
    base::ProcessId main_of(const std::string& unit) const;
    void kill_main(const std::string& unit, ExitStatus status);  // from outside
    void take_log() { log.clear(); }

    std::vector<std::string> log;    // "web: inactive -> starting", "web: start", "web: TERM", "web: KILL"
    std::vector<std::string> order;  // names, as they became up ("+web") and went down ("-web")
    std::vector<PlannedChange> plan(std::vector<Declaration> next) const;
    void apply(std::vector<Declaration> next);
    std::vector<Action> removed;
    bool all_quiet = false;

  private:
    struct Life {
        base::ProcessId main;
        bool main_alive = false;
        bool child_alive = false;
        bool told_to_stop = false;
        Behaviour behaviour;
    };
    static void REQUIRE_OK(const base::Result<>& result);
    void at(base::Duration in, std::function<void()> what) { events_.emplace(now_ + in, std::move(what)); }
    void carry_out(const Action& action);
    void begin_life(const std::string& unit);
    void end_main(const std::string& unit, base::ProcessId process, ExitStatus status);
    void end_child(const std::string& unit, base::ProcessId process);
    void report_group(const std::string& unit);
    void check_start(const std::string& unit) const;
    void check_always() const;

    std::vector<Declaration> declarations_;
    std::unique_ptr<Engine> engine_;
    std::multimap<TimePoint, std::function<void()>> events_;
    std::map<std::string, Life> lives_;
    std::map<std::string, unsigned> life_count_;
    TimePoint now_ = TimePoint(1000s);
    pid_t next_pid_ = 100;
    unsigned settled_ = 0;
};

}  // namespace gpcsup::units::test
