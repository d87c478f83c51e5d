// A transient unit's declaration lives in the journal: what is written must be read back whole.
#include "supervisor/declaration_json.h"

#include <catch2/catch.hpp>

#include "units/settings.h"

namespace gpcsup {
namespace {

TEST_CASE("a declaration survives the journal") {
    units::Declaration unit;
    unit.name = "run-1";
    unit.command = {"/bin/sh", "-c", "exit 3"};
    unit.restart = units::RestartPolicy::always;
    unit.start_limit = {units::unlimited_starts, std::chrono::seconds(3)};
    unit.stop_timeout = units::no_timeout;
    unit.environment.edit() = {{"A", "1"}};
    unit.nice = -5;
    unit.umask = 022;
    unit.place.edit() = {{"tenant", "/acme"}};
    unit.limits.edit() = {{"numtasks.limit", "16"}};
    unit.depends.after = {"network"};
    units::note_given(unit, *units::find_setting("service", "command"));
    units::note_given(unit, *units::find_setting("depends", "after"));
    const auto back = supervisor::declaration_from_json(supervisor::to_json(unit));
    REQUIRE(back);
    CHECK(*back == unit);
}

TEST_CASE("what is no declaration is refused by name") {
    const auto refused =
        supervisor::declaration_from_json(supervisor::Json{{"name", "web"}, {"restart_delay", "soon"}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == EPROTO);
    CHECK(refused.error().message().find("web") != std::string::npos);
}

}  // namespace
}  // namespace gpcsup
