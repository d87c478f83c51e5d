// Memory policies that a member sets itself, through the real filter, gpc-enforce and gpc-reader. Nodes that
// this machine does not have are only ever refused; tests/vm/run_memset.py has four.

#include <catch2/catch.hpp>

#include "stage.h"

using namespace gpcsup;
using namespace gpcsup::test;
using wire::TrapClass;

TEST_CASE("memory policies of a member stay within its group's nodes") {
    struct Row {
        const char* allowed;
        const char* machine;
        const char* asked;  // a mask
        const char* answer;
    };
    const Row rows[] = {
        {"0", "0-1", "1", "set 0 mbind 0 migrate 0 move 0 ask 0 range 0 local 22 default 22 \n"},
        {"1", "0-1", "1", "set 22 mbind 22 migrate 22 move 22 ask 0 range 0 local 22 default 22 \n"},
        {"0", "0-1", "3", "set 22 mbind 22 migrate 22 move 22 ask 0 range 0 local 22 default 22 \n"},
        {"0-1", "0-1", "1", "set 0 mbind 0 migrate 0 move 0 ask 0 range 0 local 0 default 0 \n"},
    };
    for (const Row& row : rows) {
        Stage stage;
        stage.allowed_nodes = {*base::parse_cpu_list(row.allowed), *base::parse_cpu_list(row.machine)};
        auto request = request_for({support_program("forker"), "policy", row.asked});
        Service service = stage.start(request, 2, {TrapClass::policy});
        Stage::go(service);
        INFO("asked for " << row.asked << " of " << row.allowed << " in " << row.machine);
        CHECK(read_all(service.output) == row.answer);
        wait_for_end(service.started);
    }
}
