#include "supervisor/jobs.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/error_names.h"
#include "supervisor/records.h"
#include "units/names.h"

namespace gpcsup::supervisor {

using units::State;

namespace {

constexpr std::string_view goal_names[] = {"started", "stopped", "reloaded", "ended"};

std::string job_key(std::uint64_t number) {
    return fmt::format("job/{:020}", number);
}

enum class Progress { going_on, well, badly };

// When a unit's state answers a wish. A backoff is an answer to `start`: the first try failed, and the reason
// says that more follow. A unit whose reload failed is active all the same, with that as its reason.
Progress progress(JobGoal goal, const units::UnitState& unit) {
    const State state = unit.state;
    switch (goal) {
        case JobGoal::started:
        case JobGoal::reloaded:
            if (state == State::active || state == State::done) {
                return goal == JobGoal::started || unit.reason.empty() ? Progress::well : Progress::badly;
            }
            return units::is_down(state) ? Progress::badly : Progress::going_on;
        case JobGoal::stopped:
            if (state == State::backoff) {
                return Progress::going_on;
            }
            return units::is_down(state) ? Progress::well : Progress::going_on;
        case JobGoal::ended:
            return units::is_down(state) || state == State::done ? Progress::well : Progress::going_on;
    }
    return Progress::going_on;
}

Json outcome_of(std::string_view unit, const units::UnitState& state,
                const std::optional<ExecFailure>& exec) {
    Json outcome = {{"name", unit}, {"state", units::name_of(state.state)}, {"reason", state.reason}};
    outcome["exit_code"] = nullptr;
    outcome["signal"] = nullptr;
    if (state.exit) {
        if (state.exit->kind == units::ExitKind::exited) {
            outcome["exit_code"] = state.exit->number;
        } else if (state.exit->kind != units::ExitKind::unknown) {
            outcome["signal"] = units::signal_name(state.exit->number);
        }
    }
    outcome["exec"] = exec ? Json{{"step", exec->step}, {"errno", exec->error}} : Json();
    outcome["error"] = nullptr;
    return outcome;
}

}  // namespace

Jobs::Jobs(Chronicle& chronicle, UnitStates& states) : chronicle_(chronicle), states_(states) {
    chronicle_.add_rewriter([this](Chronicle&) {
        for (const auto& [number, job] : jobs_) {
            write(job);
        }
    });
}

bool Jobs::Job::settled() const {
    return std::all_of(parts.begin(), parts.end(), [](const Part& part) { return part.settled; });
}

void Jobs::write(const Job& job) {
    Json parts = Json::array();
    for (const Part& part : job.parts) {
        parts.push_back(
            {{"unit", part.unit}, {"settled", part.settled}, {"ok", part.ok}, {"outcome", part.outcome}});
    }
    chronicle_.state(
        "", job_key(job.number),
        {{"goal", goal_names[static_cast<unsigned>(job.goal)]}, {"token", job.token}, {"parts", parts}});
}

void Jobs::restore(const journal::States& states) {
    each_record(states, "job/", chronicle_, [this](const std::string& number, const Json& body) {
        Job job;
        job.number = std::stoull(number);
        job.token = body.value("token", std::uint64_t{0});
        const auto* goal = std::find(std::begin(goal_names), std::end(goal_names), body.value("goal", ""));
        job.goal = static_cast<JobGoal>(goal == std::end(goal_names) ? 0 : goal - std::begin(goal_names));
        for (const Json& part : body.at("parts")) {
            job.parts.push_back({part.value("unit", ""), part.value("settled", false),
                                 part.value("ok", false), part.at("outcome")});
        }
        jobs_[job.number] = std::move(job);
    });
}

std::optional<std::uint64_t> Jobs::find(std::uint64_t token) const {
    const auto found =
        std::ranges::find_if(jobs_, [&](const auto& one) { return token != 0 && one.second.token == token; });
    return found == jobs_.end() ? std::nullopt : std::optional(found->first);
}

Jobs::Opened Jobs::open(JobGoal goal, std::span<const std::string> units, std::uint64_t token) {
    if (const auto number = find(token)) {
        return {*number, Opened::Novelty::known};
    }
    Job job;
    job.number = chronicle_.next_sequence();
    job.token = token;
    job.goal = goal;
    for (const std::string& unit : units) {
        job.parts.push_back({unit, false, false, {}});
    }
    write(job);
    const std::uint64_t number = job.number;
    jobs_.emplace(number, std::move(job));
    forget_old();
    return {number, Opened::Novelty::fresh};
}

void Jobs::forget_old() {
    for (auto at = jobs_.begin(); jobs_.size() > remembered && at != jobs_.end();) {
        if (at->second.settled()) {
            chronicle_.erase("", job_key(at->first));
            at = jobs_.erase(at);
        } else {
            ++at;
        }
    }
}

void Jobs::settle(Part& part, const units::UnitState* state, Verdict verdict) {
    part.settled = true;
    part.ok = verdict == Verdict::well;
    if (state != nullptr) {
        part.outcome = outcome_of(part.unit, *state, states_.exec_failure(part.unit));
    }
}

void Jobs::fail(std::uint64_t number, const std::string& unit, const base::Error& error) {
    auto found = jobs_.find(number);
    if (found == jobs_.end()) {
        return;
    }
    const units::UnitState* state = states_.unit_state(unit);
    for (Part& part : found->second.parts) {
        if (part.unit == unit && !part.settled) {
            settle(part, state, Verdict::badly);
            part.outcome["name"] = unit;
            part.outcome["reason"] = error.message();
            part.outcome["error"] = control::error_word(error.code);
        }
    }
    write(found->second);
}

std::vector<std::string> Jobs::units(std::uint64_t number) const {
    std::vector<std::string> names;
    if (auto found = jobs_.find(number); found != jobs_.end()) {
        for (const Part& part : found->second.parts) {
            names.push_back(part.unit);
        }
    }
    return names;
}

void Jobs::review(Job& job) {
    bool changed = false;
    for (Part& part : job.parts) {
        if (part.settled) {
            continue;
        }
        const units::UnitState* state = states_.unit_state(part.unit);
        if (state == nullptr) {
            part.outcome = {{"name", part.unit},    {"state", "inactive"}, {"reason", "the unit is gone"},
                            {"exit_code", nullptr}, {"signal", nullptr},   {"exec", nullptr}};
            settle(part, nullptr, job.goal == JobGoal::stopped ? Verdict::well : Verdict::badly);
            changed = true;
            continue;
        }
        if (const Progress now = progress(job.goal, *state); now != Progress::going_on) {
            settle(part, state, now == Progress::well ? Verdict::well : Verdict::badly);
            changed = true;
        }
    }
    if (changed) {
        write(job);
    }
}

void Jobs::review() {
    for (auto& [number, job] : jobs_) {
        if (!job.settled()) {
            review(job);
        }
        if (job.settled()) {
            answer(job);
        }
    }
}

void Jobs::unit_gone(const units::UnitState& last) {
    for (auto& [number, job] : jobs_) {
        for (Part& part : job.parts) {
            if (part.unit == last.name && !part.settled) {
                settle(part, &last,
                       progress(job.goal, last) == Progress::well ? Verdict::well : Verdict::badly);
                write(job);
            }
        }
    }
}

std::string Jobs::to_json(const Job& job) {
    Json units = Json::array();
    std::string waiting_for;
    bool ok = true;
    for (const Part& part : job.parts) {
        ok = ok && part.ok;
        if (part.settled) {
            units.push_back(part.outcome);
            units.back()["ok"] = part.ok;
        } else if (const units::UnitState* state = states_.unit_state(part.unit)) {
            units.push_back(outcome_of(part.unit, *state, {}));
            waiting_for += (waiting_for.empty() ? "" : "; ") + states_.waiting_for(*state);
        }
    }
    const bool settled = job.settled();
    return text_of({{"schema", 1},
                    {"settled", settled},
                    {"ok", settled && ok},
                    {"units", units},
                    {"waiting_for", waiting_for}});
}

void Jobs::answer(const Job& job) {
    for (std::size_t i = 0; i < waiting_.size();) {
        if (waiting_[i].wish.job != job.number) {
            ++i;
            continue;
        }
        waiting_[i].reply(to_json(job));
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

void Jobs::wait(const Wish& wish, control::Reply reply) {
    auto found = jobs_.find(wish.job);
    if (found == jobs_.end()) {
        reply(base::refuse(ENOENT, fmt::format("there is no job {}", wish.job), "it may be too long ago"));
        return;
    }
    review(found->second);
    if (found->second.settled()) {
        reply(to_json(found->second));
        return;
    }
    const auto same = [&](const Waiting& one) { return one.wish.connection == wish.connection; };
    if (std::ranges::count_if(waiting_, same) >= static_cast<std::ptrdiff_t>(most_waits)) {
        reply(base::refuse(EBUSY, fmt::format("this connection waits for {} jobs already", most_waits),
                           "open another, or wait for one after the other"));
        return;
    }
    waiting_.push_back({wish, std::move(reply)});
}

void Jobs::disconnected(std::uint64_t connection) {
    std::erase_if(waiting_, [&](const Waiting& one) { return one.wish.connection == connection; });
}

void Jobs::expire(std::uint64_t now_ns) {
    for (std::size_t i = 0; i < waiting_.size();) {
        if (waiting_[i].wish.deadline_ns == 0 || waiting_[i].wish.deadline_ns > now_ns) {
            ++i;
            continue;
        }
        auto found = jobs_.find(waiting_[i].wish.job);
        waiting_[i].reply(found == jobs_.end()
                              ? base::Result<std::string>(base::refuse(ENOENT, "the job is gone"))
                              : base::Result<std::string>(to_json(found->second)));
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

std::uint64_t Jobs::next_deadline_ns() const {
    std::uint64_t next = 0;
    for (const Waiting& one : waiting_) {
        if (one.wish.deadline_ns != 0 && (next == 0 || one.wish.deadline_ns < next)) {
            next = one.wish.deadline_ns;
        }
    }
    return next;
}

}  // namespace gpcsup::supervisor
