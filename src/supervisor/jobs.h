#pragma once
// What clients asked for and wait for: one job a request, numbered by the journal, remembered after it is
// settled so that a client that was cut off still gets its answer. It decides nothing about units: it looks
// at their states and answers.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/handler.h"
#include "journal/journal.h"
#include "supervisor/chronicle.h"
#include "units/unit_state.h"

namespace gpcsup::supervisor {

enum class JobGoal { started, stopped, reloaded, ended };  // `ended`: a unit of `run` is over

struct ExecFailure {
    std::string step;
    int error = 0;
};

// What the jobs want to know about a unit.
class UnitStates {
  public:
    virtual ~UnitStates() = default;
    virtual const units::UnitState* unit_state(
        std::string_view name) = 0;  // null when there is no such unit (any more)
    virtual std::optional<ExecFailure> exec_failure(std::string_view name) = 0;  // of its last start
    virtual std::string waiting_for(const units::UnitState& state) = 0;  // a sentence: what, who, until when
};

class Jobs {
  public:
    Jobs(Chronicle& chronicle, UnitStates& states);

    void restore(const journal::States& states);

    // The job's number; the same for the same token. Call it before the wish is given to the engine.
    struct Opened {
        std::uint64_t number = 0;
        enum class Novelty { fresh, known } novelty = Novelty::fresh;
    };
    // The job that was opened with this token; nothing for 0.
    [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t token) const;
    Opened open(JobGoal goal, std::span<const std::string> units, std::uint64_t token);
    void fail(std::uint64_t number, const std::string& unit,
              const base::Error& error);  // the wish itself was refused

    struct Wish {
        std::uint64_t job = 0;
        std::uint64_t deadline_ns = 0;  // 0 = none
        std::uint64_t connection = 0;
    };
    void wait(const Wish& wish, control::Reply reply);
    void disconnected(std::uint64_t connection);  // its waits end
    [[nodiscard]] std::vector<std::string> units(std::uint64_t number) const;

    // Looks at every open job; call it when units changed and the engine is quiet.
    void review();
    void unit_gone(const units::UnitState& last);  // a transient unit was removed: this is how it ended
    void expire(std::uint64_t now_ns);             // answers the waits whose deadline has come
    [[nodiscard]] std::uint64_t next_deadline_ns() const;  // 0 = none

    static constexpr std::size_t remembered = 256;  // settled jobs
    static constexpr std::size_t most_waits = 16;   // of one connection: nobody's waits are in another's way

  private:
    struct Part {
        std::string unit;
        bool settled = false;
        bool ok = false;
        Json outcome;
    };
    struct Job {
        std::uint64_t number = 0;
        std::uint64_t token = 0;
        JobGoal goal = JobGoal::started;
        std::vector<Part> parts;
        [[nodiscard]] bool settled() const;
    };
    struct Waiting {
        Wish wish;
        control::Reply reply;
    };
    void write(const Job& job);
    enum class Verdict { well, badly };
    void settle(Part& part, const units::UnitState* state, Verdict verdict);
    void review(Job& job);
    void answer(const Job& job);
    [[nodiscard]] std::string to_json(const Job& job);
    void forget_old();

    Chronicle& chronicle_;
    UnitStates& states_;
    std::map<std::uint64_t, Job> jobs_;
    std::vector<Waiting> waiting_;
};

}  // namespace gpcsup::supervisor
