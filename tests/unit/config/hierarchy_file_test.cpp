#include "config/hierarchy_file.h"

#include <catch2/catch.hpp>

#include "config/fake_catalogue.h"

using namespace gpcsup::config;

namespace {

const test::FakeCatalogue catalogue;

std::string fault(const std::string& text) {
    const HierarchyFile file = read_hierarchies("gpcsup.toml", text, &catalogue);
    REQUIRE_FALSE(file.problems.empty());
    CHECK(file.problems.size() == 1);
    return format(file.problems.front());
}

}  // namespace

TEST_CASE("the configuration of INTERFACE is read as it says") {
    const HierarchyFile file = read_hierarchies("gpcsup.toml", R"(
[hierarchy.compute]
controllers = ["cpuset", "cpuacct"]
[hierarchy.compute.group."/batch"]
cpuset.cpus = "1"
[hierarchy.tenant]
controllers = ["numtasks", "numfiles"]
[hierarchy.tenant.group."/acme/web"]
[hierarchy.tenant.group."/acme"]
numtasks.limit = 64
numtasks.forkrate = "100/1s"
group.owner = "alice"
)",
                                                &catalogue);
    CHECK(file.problems.empty());
    REQUIRE(file.hierarchies.size() == 2);
    const HierarchyDeclaration& compute = file.hierarchies[0];
    CHECK(compute.name == "compute");
    CHECK(compute.controllers == std::vector<std::string>{"cpuset", "cpuacct"});
    CHECK(compute.place == Location{"gpcsup.toml", 2, 12});
    REQUIRE(compute.groups.size() == 1);
    CHECK(compute.groups[0].path == "/batch");
    REQUIRE(compute.groups[0].settings.size() == 1);
    CHECK(compute.groups[0].settings[0].attribute == "cpuset.cpus");
    CHECK(compute.groups[0].settings[0].value == "1");
    CHECK(compute.groups[0].settings[0].place == Location{"gpcsup.toml", 5, 15});
    const HierarchyDeclaration& tenant = file.hierarchies[1];
    REQUIRE(tenant.groups.size() == 2);
    CHECK(tenant.groups[0].path == "/acme");
    CHECK(tenant.groups[1].path == "/acme/web");
    CHECK(tenant.groups[0].settings.size() == 3);
    CHECK(read_hierarchies("gpcsup.toml", "", &catalogue).hierarchies.empty());
}

TEST_CASE("every slip of the configuration has its own message, at its place") {
    const std::string start = "[hierarchy.tenant]\ncontrollers = [\"numtasks\"]\n";
    struct Row {
        std::string text;
        const char* expected;
    };
    const Row rows[] = {
        {"[hierarchy.t.group./acme]\n",
         "gpcsup.toml:1:20: hierarchy.t.group./acme: a path in a header needs quotes: write "
         "[hierarchy.t.group.\"/acme\"]"},
        {start + "[hierarchy.tenant.group.\"/acme\"]\n\"numtasks.limit\" = 5\n",
         "gpcsup.toml:4:1: hierarchy.tenant.group.\"/acme\".numtasks.limit: the quotes make one key of it"},
        {start + "[hierarchy.tenant.group.\"/acme\"]\nnumtasks.limt = 5\n", "did you mean numtasks.limit?"},
        {start + "[hierarchy.tenant.group.\"/acme\"]\nnumtasks.limit = true\n",
         "expected a whole number or \"max\""},
        {start + "[hierarchy.tenant.group.\"/acme\"]\ncpuset.cpus = \"1\"\n",
         "the controller \"cpuset\" is not among the controllers of \"tenant\""},
        {start + "[hierarchy.tenant.group.acme]\n",
         "gpcsup.toml:3:25: hierarchy.tenant.group.\"acme\": a group's path begins with /"},
        {start + "[hierarchy.tenant.group.\"/a//b\"]\n", "has an empty part"},
        {start + "[hierarchy.tenant.group.\"/a/../b\"]\n", "'..' cannot name a group"},
        {start + "[hierarchy.tenant.group.\"/a/\"]\n", "write \"/a\""},
        {start + "[hierarchy.tenant.group.\"/a\\u0007b\"]\n", "has a control character"},
        {start + "[hierarchy.tenant.\"/acme\"]\n", "a group is written [hierarchy.tenant.group.\"/acme\"]"},
        {start + "[hierarchy.tenant.groups.\"/acme\"]\n", "did you mean \"group\"?"},
        {start + "[hierarchy.other]\ncontrollers = [\"numtasks\"]\n", "is bound to \"tenant\" already"},
        {"[hierarchy.tenant]\ncontrollers = [\"numtask\"]\n",
         "gpcsup.toml:2:16: hierarchy.tenant.controllers: there is no controller \"numtask\"; did you mean "
         "\"numtasks\"?"},
        {"[hierarchy.tenant]\ncontrollers = \"numtasks\"\n", "expected a list, as in controllers = ["},
        {"[hierarchy.tenant]\ncontrollers = [5]\n", "name of a controller in quotes"},
        {"[hierarchy.tenant]\ncompat = 2006\n",
         "2:10: hierarchy.tenant.compat: write compat = \"2006\", in quotes"},
        {"[hierarchy.tenant]\ncompat = \"2007\"\n", "2:10: hierarchy.tenant.compat: write compat = \"2006\""},
        {"[hierarchy.tenant]\ncompat = \"\"\n", "today's need no such line"},
        {"[hierarchy.tenant]\ncompatt = \"2006\"\n", "did you mean \"compat\"?"},
        {"[hierarchy.unit]\n", "the hierarchy \"unit\" is built in"},
        {"[hierarchy.\"a b\"]\n", "'a b' cannot name a hierarchy; letters, digits"},
        {"[hierarchy.\"..\"]\n", "'..' cannot name a hierarchy"},
        {"[hierarchy." + std::string(64, 'h') + "]\n", "too long for a hierarchy"},
        {"[hierachy.tenant]\n", "did you mean [hierarchy.NAME]?"},
        {"[service]\n", "units are declared in files of their own"},
        {"hierarchy = 5\n", "write [hierarchy.NAME]"},
        {"[hierarchy]\ntenant = 5\n", "write [hierarchy.tenant] and its keys below"},
        {start + "group = 5\n", "a group is written [hierarchy.tenant.group.\"/NAME\"]"},
        {start + "[hierarchy.tenant.group]\n\"/acme\" = 5\n", "a group is a table"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK_THAT(fault(row.text), Catch::Contains(row.expected));
    }
    std::string deep;
    for (int i = 0; i < 33; ++i) {
        deep += "/a";
    }
    CHECK_THAT(fault(start + "[hierarchy.tenant.group.\"" + deep + "\"]\n"),
               Catch::Contains("groups nest at most 32 levels"));
}

TEST_CASE("what groups may be called at run time, the file may call them") {
    const HierarchyFile file = read_hierarchies(
        "gpcsup.toml", "[hierarchy.tenant]\n[hierarchy.tenant.group.\"/by hand/a:b\"]\n", &catalogue);
    CHECK(file.problems.empty());
    REQUIRE(file.hierarchies.size() == 1);
    CHECK(file.hierarchies[0].groups.at(0).path == "/by hand/a:b");
}

TEST_CASE("a hierarchy of 2006 says so") {
    const HierarchyFile file =
        read_hierarchies("gpcsup.toml", "[hierarchy.old]\ncompat = \"2006\"\n[hierarchy.new]\n", &catalogue);
    CHECK(file.problems.empty());
    REQUIRE(file.hierarchies.size() == 2);
    CHECK(file.hierarchies[0].compat == gpcsup::grouping::Compat::year_2006);
    CHECK(file.hierarchies[1].compat == gpcsup::grouping::Compat::none);
}

TEST_CASE("what is good beside something bad is kept") {
    const HierarchyFile file = read_hierarchies(
        "gpcsup.toml", "[hierarchy.a]\ncontrollers = [\"cpuset\", \"nothing\"]\n[hierarchy.unit]\n",
        &catalogue);
    CHECK(file.problems.size() == 2);
    REQUIRE(file.hierarchies.size() == 1);
    CHECK(file.hierarchies[0].controllers == std::vector<std::string>{"cpuset"});
}
