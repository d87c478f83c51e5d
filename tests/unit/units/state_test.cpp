#include "units/state.h"

#include <catch2/catch.hpp>
#include <csignal>
#include <queue>
#include <set>

#include "units/names.h"
#include "units/restart.h"
#include "units/unit_state.h"
#include "units/world.h"

using namespace gpcsup::units;
using namespace gpcsup::units::test;

TEST_CASE("the transition table has one answer for each state and event, and never stays where it is") {
    std::set<std::pair<State, Event>> seen;
    for (const Transition& row : transitions) {
        CAPTURE(name_of(row.from), name_of(row.event));
        CHECK(seen.insert({row.from, row.event}).second);
        CHECK(row.from != row.to);
        CHECK(next_state(row.from, row.event) == row.to);
    }
    CHECK_FALSE(next_state(State::inactive, Event::ready).has_value());
    CHECK_FALSE(next_state(State::stopping, Event::start).has_value());
}

TEST_CASE("from every state every other can be reached, and each can be left by a stop") {
    for (unsigned from = 0; from < state_count; ++from) {
        std::set<State> reached;
        std::queue<State> next({static_cast<State>(from)});
        while (!next.empty()) {
            const State state = next.front();
            next.pop();
            for (const Transition& row : transitions) {
                if (row.from == state && reached.insert(row.to).second) {
                    next.push(row.to);
                }
            }
        }
        CHECK(reached.size() == state_count);
        const auto state = static_cast<State>(from);
        const bool can_go = state == State::inactive || state == State::stopping ||
                            next_state(state, Event::stop).has_value() ||
                            next_state(state, Event::cancel).has_value() ||
                            next_state(state, Event::clear).has_value();
        CHECK(can_go);
    }
}

TEST_CASE("states, types and policies have one spelling each") {
    std::set<std::string_view> names;
    for (unsigned i = 0; i < state_count; ++i) {
        names.insert(name_of(static_cast<State>(i)));
    }
    CHECK(names.size() == state_count);
    CHECK(name_of(RestartPolicy::on_abnormal) == "on-abnormal");
    CHECK(name_of(ServiceType::forking) == "forking");
    CHECK(name_of(UnitKind::target) == "target");
    CHECK(name_of(Event::retry) == "retry");
}

TEST_CASE("names of units are checked") {
    struct Row {
        std::string name;
        const char* mentions;  // null = a good name
    };
    const Row rows[] = {
        {"web", nullptr},
        {"getty@tty1", nullptr},
        {"a.b_c-d", nullptr},
        {"7zip", nullptr},
        {"", "empty"},
        {"4711", "taken for a pid"},
        {"web/1", "letters, digits"},
        {"wéb", "letters, digits"},
        {"a b", "letters, digits"},
        {"..", "directory"},
        {std::string(64, 'a'), nullptr},
        {std::string(65, 'a'), "64"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const auto checked = check_unit_name(row.name);
        CHECK(checked.has_value() == (row.mentions == nullptr));
        if (!checked && row.mentions != nullptr) {
            CHECK_THAT(checked.error().message(), Catch::Contains(row.mentions));
        }
    }
}

TEST_CASE("signals are read in all usual spellings") {
    for (const char* text : {"TERM", "SIGTERM", "term", "15", "sigterm"}) {
        CHECK(canonical_signal(text).value() == "TERM");
    }
    CHECK(canonical_signal("RTMIN+3").value() == "RTMIN+3");
    CHECK(signal_number("RTMIN+3") == SIGRTMIN + 3);
    CHECK(signal_number("KILL") == SIGKILL);
    CHECK(signal_number("NONE") == 0);
    CHECK(signal_name(SIGSEGV) == "SEGV");
    const auto bad = canonical_signal("TREM");
    REQUIRE_FALSE(bad.has_value());
    CHECK_THAT(bad.error().message(), Catch::Contains("did you mean \"TERM\"?"));
    CHECK_FALSE(canonical_signal("0").has_value());
    CHECK_FALSE(canonical_signal("99").has_value());
    CHECK_FALSE(canonical_signal("").has_value());
}

TEST_CASE("which end restarts under which policy") {
    struct Row {
        ExitStatus status;
        ServiceType type;
        Ending ending;
        const char* text;
        bool no, on_failure, on_abnormal, always;
    };
    const Row rows[] = {
        {exit_with(0), ServiceType::simple, Ending::clean, "exit 0", false, false, false, true},
        {exit_with(3), ServiceType::simple, Ending::code, "exit 3", false, true, false, true},
        {killed_by(SIGTERM), ServiceType::simple, Ending::clean, "signal TERM", false, false, false, true},
        {killed_by(SIGHUP), ServiceType::notify, Ending::clean, "signal HUP", false, false, false, true},
        {killed_by(SIGTERM), ServiceType::oneshot, Ending::signal, "signal TERM", false, true, true, true},
        {killed_by(SIGKILL), ServiceType::simple, Ending::signal, "signal KILL", false, true, true, true},
        {{ExitKind::dumped, SIGSEGV},
         ServiceType::simple,
         Ending::signal,
         "signal SEGV, core dumped",
         false,
         true,
         true,
         true},
        {{ExitKind::unknown, 0},
         ServiceType::forking,
         Ending::vanished,
         "vanished: nobody saw how it ended",
         false,
         true,
         true,
         true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK(describe(row.status) == row.text);
        const Ending ending = classify(row.status, row.type);
        CHECK(ending == row.ending);
        CHECK((decide(RestartPolicy::no, ending) == Retry::yes) == row.no);
        CHECK((decide(RestartPolicy::on_failure, ending) == Retry::yes) == row.on_failure);
        CHECK((decide(RestartPolicy::on_abnormal, ending) == Retry::yes) == row.on_abnormal);
        CHECK((decide(RestartPolicy::always, ending) == Retry::yes) == row.always);
    }
    CHECK(decide(RestartPolicy::on_abnormal, Ending::timeout) == Retry::yes);
    CHECK(decide(RestartPolicy::on_abnormal, Ending::unexecutable) == Retry::no);
}

TEST_CASE("the pause doubles up to its limit and never overflows") {
    Declaration web = service("web");
    auto delay = web.restart_delay;
    std::vector<gpcsup::base::Duration> delays;
    for (int i = 0; i < 12; ++i) {
        delays.push_back(delay);
        delay = following_delay(delay, web);
    }
    CHECK(delays[1] == 200ms);
    CHECK(delays[8] == 25600ms);
    CHECK(delays[9] == 30s);
    CHECK(delays[11] == 30s);
    web.restart_delay_max = gpcsup::base::Duration::max();
    CHECK(following_delay(gpcsup::base::Duration::max() - 1ns, web) == gpcsup::base::Duration::max());
    web.restart_delay = 10s;
    web.restart_delay_max = 1s;
    CHECK(following_delay(10s, web) == 10s);
}

TEST_CASE("a recorded state is read back, and a damaged one is refused") {
    UnitState state;
    state.name = "web";
    state.state = State::stopping;
    state.phase = Phase::leftovers;
    state.outcome = Outcome::retry;
    state.origin = Origin::transient;
    state.reason = "signal SEGV";
    state.wished = state.due = state.members = true;
    state.main = {4711, 99};
    state.exit = ExitStatus{ExitKind::dumped, 11};
    state.intent = 7;
    state.restarts = 3;
    state.starts = {TimePoint(1s), TimePoint(2s)};
    state.delay = 200ms;
    state.since = TimePoint(5s);
    state.deadline = TimePoint(15s);
    const auto bytes = encode(state);
    CHECK(decode_unit_state(bytes).value() == state);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CHECK_FALSE(decode_unit_state(std::span(bytes).first(size)).has_value());
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    CHECK_FALSE(decode_unit_state(longer).has_value());
    auto other_version = bytes;
    other_version[0] = std::byte{99};
    CHECK_FALSE(decode_unit_state(other_version).has_value());
    auto bad_state = bytes;
    bad_state[1 + 4 + 3] = std::byte{200};
    CHECK_FALSE(decode_unit_state(bad_state).has_value());
}
