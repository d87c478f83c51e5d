#include "config/unit_file.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "config/fake_catalogue.h"
#include "units/settings.h"

using namespace gpcsup;
using namespace gpcsup::config;
using namespace std::chrono_literals;

namespace {

const test::FakeCatalogue catalogue;

UnitFile read(std::vector<std::string> texts, std::string_view name = "web") {
    std::vector<SourceText> sources;
    for (std::string& text : texts) {
        sources.push_back(
            {sources.empty() ? "web.toml" : "web.d/" + std::to_string(sources.size()) + ".toml", text});
    }
    return read_unit(name, sources, &catalogue);
}

units::Declaration good(std::vector<std::string> texts) {
    UnitFile unit = read(std::move(texts));
    for (const Located& problem : unit.problems) {
        FAIL(format(problem));
    }
    return unit.declaration;
}

// The one problem, as "LINE:COLUMN KEY: MESSAGE".
std::string fault(const std::string& text) {
    const UnitFile unit = read({text});
    REQUIRE_FALSE(unit.problems.empty());
    CHECK(unit.problems.size() == 1);
    const Located& problem = unit.problems.front();
    return std::to_string(problem.line) + ":" + std::to_string(problem.column) + " " + problem.key + ": " +
           problem.message;
}

}  // namespace

TEST_CASE("the unit of INTERFACE is read as it says") {
    const units::Declaration cache = good({R"(
description = "Cache"
[service]
type = "notify"
command = ["/usr/bin/redis-server", "--supervised", "systemd", "--daemonize", "no"]
[place]
compute = "/batch"
tenant = "/acme"
[limits]
numtasks.limit = 16
[depends]
requires = ["network"]
)"});
    CHECK(cache.kind == units::UnitKind::service);
    CHECK(cache.type == units::ServiceType::notify);
    CHECK(cache.command.size() == 5);
    CHECK(cache.place->at("tenant") == "/acme");
    REQUIRE(cache.limits.size() == 1);
    CHECK(cache.limits->at(0) == units::Setting{"numtasks.limit", "16"});
    CHECK(cache.depends.requires_ == std::vector<std::string>{"network"});
    CHECK(cache.restart == units::RestartPolicy::on_failure);
    CHECK(units::was_given(cache, *units::find_setting("service", "type")));
    CHECK_FALSE(units::was_given(cache, *units::find_setting("service", "restart")));
}

TEST_CASE("every setting can be given") {
    const units::Declaration web = good({R"(
enabled = false
masked = false
wanted_by = ["evening"]
[service]
type = "forking"
command = "nginx -g 'daemon off;'"
stop_command = ["/bin/stop"]
reload_command = "/bin/reload now"
restart = "always"
restart_delay = "1s"
restart_delay_max = "1m"
restart_reset = "2m"
start_limit = "3/1m"
start_timeout = "max"
stop_timeout = "5s"
stop_signal = "SIGQUIT"
user = "www-data"
group = "www-data"
environment = { A = "1", "B.C" = "2" }
directory = "/srv"
nice = -5
umask = "027"
enforce = ["numtasks"]
no_new_privileges = true
terminal = true
[limits]
cpuset.cpus = "0-3"
cpuset.cpu_exclusive = true
numtasks.limit = "max"
[depends]
requires = ["a"]
wants = ["b"]
binds = ["c"]
after = ["d"]
before = ["e"]
conflicts = ["f"]
)"});
    CHECK(web.command == std::vector<std::string>{"nginx", "-g", "daemon off;"});
    CHECK(web.reload_command == std::vector<std::string>{"/bin/reload", "now"});
    CHECK(web.start_timeout == units::no_timeout);
    CHECK(web.stop_signal == "QUIT");
    CHECK(web.environment->at("B.C") == "2");
    CHECK(web.nice == -5);
    CHECK(web.umask == 027U);
    CHECK(web.limits.size() == 3);
    CHECK(web.depends.conflicts == std::vector<std::string>{"f"});
    CHECK(web.wanted_by == std::vector<std::string>{"evening"});
    CHECK_FALSE(web.enabled);
}

TEST_CASE("a file without [service] is a target") {
    CHECK(good({""}).kind == units::UnitKind::target);
    CHECK(good({"[depends]\nwants = [\"a\"]"}).kind == units::UnitKind::target);
}

TEST_CASE("drop-ins override values and add to lists of dependencies, limits, places and variables") {
    const units::Declaration web = good({R"(
[service]
command = ["/bin/web"]
restart = "no"
environment = { A = "1", B = "1" }
enforce = ["numtasks"]
[place]
tenant = "/acme"
[limits]
numtasks.limit = 16
[depends]
requires = ["db"]
)",
                                         R"(
enabled = false
[service]
restart = "always"
environment = { B = "2", C = "2" }
enforce = ["cpuset"]
[place]
compute = "/batch"
[limits]
numtasks.limit = 32
cpuset.cpus = "1"
[depends]
requires = ["network", "db"]
wants = ["log"]
)",
                                         "enabled = true\n"});
    CHECK(web.restart == units::RestartPolicy::always);
    CHECK(web.environment == std::map<std::string, std::string>{{"A", "1"}, {"B", "2"}, {"C", "2"}});
    CHECK(web.enforce == std::vector<std::string>{"cpuset"});
    CHECK(web.place.size() == 2);
    CHECK(web.limits == std::vector<units::Setting>{{"numtasks.limit", "32"}, {"cpuset.cpus", "1"}});
    CHECK(web.depends.requires_ == std::vector<std::string>{"db", "network"});
    CHECK(web.enabled);
    CHECK(good({"[service]\ncommand = [\"/bin/a\"]", "masked = true"}).masked);
}

TEST_CASE("places of keys and of entries are remembered") {
    const UnitFile unit =
        read({"[service]\ncommand = \"a\"\n[depends]\n  requires = [\"db\", \"network\"]\n"});
    CHECK(unit.places.at("depends.requires") == Location{"web.toml", 4, 3});
    CHECK(unit.places.at("depends.requires network") == Location{"web.toml", 4, 21});
}

TEST_CASE("every common slip has its own message, at its place") {
    const std::string start = "[service]\ncommand = \"/bin/a\"\n";
    struct Row {
        std::string text;
        const char* expected;
    };
    const Row rows[] = {
        // what TOML itself cannot read
        {start + "restart = no\n", "3:11 service.restart: a string needs quotes: write restart = \"no\""},
        {start + "restart = on-failure\n",
         "3:11 service.restart: a string needs quotes: write restart = \"on-failure\""},
        {start + "stop_timeout = 10s\n",
         "3:16 service.stop_timeout: a value with a unit needs quotes: write stop_timeout = \"10s\""},
        {start + "umask = 022\n",
         "3:9 service.umask: a number with leading zeros needs quotes: write umask = \"022\""},
        {start + "directory = /srv  # there\n",
         "3:13 service.directory: a string needs quotes: write directory = \"/srv\""},
        {start + "user: redis\n", "3:5 service.user: a key and its value are separated by =: write user = …"},
        {start + "; comment\n", "3:1 : a comment begins with #"},
        {start + "nice =\n", "3:7 service.nice: the value is missing: write nice = \"…\""},
        {"enabled = True\n", "1:11 enabled: write true or false in small letters"},
        {"enabled = yes\n", "1:11 enabled: write enabled = true or enabled = false"},
        {start + "nice = 1\nnice = 2\n", "4:1 service.nice: \"nice\" is there twice: the first is in line 3"},
        // bare numbers, wrong types
        {start + "restart_delay = 5\n",
         "3:17 service.restart_delay: a duration needs a unit: if seconds are meant, write restart_delay = "
         "\"5s\""},
        {start + "restart_delay = 0.25\n", "restart_delay = \"250ms\""},
        {start + "restart_delay = \"5\"\n",
         "service.restart_delay: \"5\" has no unit; if seconds are meant, write \"5s\""},
        {start + "start_limit = 5\n", "write start_limit = \"5/10s\""},
        {start + "restart = false\n", "write restart = \"no\""},
        {start + "restart = true\n", "write restart = \"always\" or restart = \"on-failure\""},
        {start + "umask = 18\n", "an octal number is written in quotes"},
        {start + "nice = \"5\"\n", "write nice = 5 without quotes"},
        {start + "terminal = \"yes\"\n", "write terminal = true or terminal = false, without quotes"},
        {start + "user = 5\n", "3:8 service.user: expected a string, found a number"},
        {start + "environment = [\"A=1\"]\n", "write environment = { NAME = \"value\", OTHER = \"value\" }"},
        {start + "environment = { A = 1 }\n",
         "3:21 service.environment.A: the value of a variable is a string in quotes: write \"1\""},
        {start + "[depends]\nrequires = \"db\"\n",
         "4:12 depends.requires: expected a list: write requires = [\"db\"]"},
        {start + "[depends]\nrequires = [1]\n",
         "4:13 depends.requires: every entry is a string in quotes: write \"1\""},
        {start + "[depends]\nrequires = [\"12\"]\n", "it would be taken for a pid"},
        {"service = \"a\"\n", "1:1 service: service is a section: write [service] and its keys below"},
        {"description = 2020-01-01\n", "expected a string, found a date"},
        // unknown keys
        {start + "restrat = \"no\"\n",
         "3:1 service.restrat: unknown key \"restrat\" in [service]; did you mean \"restart\"?"},
        {start + "colour = \"red\"\n", "3:1 service.colour: unknown key \"colour\" in [service]"},
        {"restart = \"no\"\n",
         "1:1 restart: unknown key \"restart\" at the top of the file; it belongs in [service]"},
        {start + "requires = [\"a\"]\n",
         "3:1 service.requires: unknown key \"requires\" in [service]; it belongs in [depends]"},
        {start + "description = \"a\"\n", "it belongs at the top of the file"},
        {"[sevice]\ncommand = \"a\"\n", "1:2 sevice: unknown section [sevice]; did you mean \"service\"?"},
        {"[Service]\nExecStart = \"a\"\n", "unknown section [Service]; it is called [service] here"},
        {"[Unit]\nDescription = \"a\"\n", "dependencies are in [depends]"},
        // keys of other systems
        {start + "ExecStart = \"/bin/a\"\n", "it is called command here"},
        {start + "TasksMax = 5\n", "it is numtasks.limit in [limits] here"},
        {start + "MemoryMax = \"1G\"\n", "no controller limits memory"},
        {start + "WorkingDirectory = \"/\"\n", "it is called directory here"},
        {start + "autorestart = true\n", "it is called restart here"},
        {start + "depends-on = \"db\"\n", "it is requires = [\"…\"] in [depends] here"},
        // commands
        {"[service]\ncommand = \"a | b\"\n",
         "2:11 service.command: only a shell understands | in a command; write [\"sh\", \"-c\", \"a | b\"]"},
        {"[service]\ncommand = []\n", "a command needs a program"},
        {"[service]\n", "1:2 service.command: a service needs a command"},
        // places and limits
        {start + "group = \"/acme\"\n",
         "3:9 service.group: \"/acme\" is no group of users; a place in a hierarchy is written in [place]"},
        {start + "[place]\ntenant = \"acme\"\n",
         "4:10 place.tenant: a path begins with /: write tenant = \"/acme\""},
        {start + "[place]\ntenant = \"tenant:/acme\"\n", "write tenant = \"/acme\""},
        {start + "[place]\nunit = \"/acme\"\n", "4:1 place.unit: every unit has its own group"},
        {start + "[place]\ntenant = \"/a//b/../c \"\n",
         "4:10 place.tenant: the path '/a//b/../c ' has an empty part"},
        {start + "[place]\ntenant = \"/a/../c\"\n", "'..' cannot name a group"},
        {start + "[limits]\ncpuset.cpus = 0-3\n", "write cpuset.cpus = \"0-3\""},
        {start + "[limits]\ncpuset.cpus = 0,2 # two\n", "write cpuset.cpus = \"0,2\""},
        {"enabled = true\nenabled = true\n",
         "2:1 enabled: \"enabled\" is there twice: the first is in line 1"},
        {start + "nice = 1\n[place]\n[service]\n", "[service] is there twice: the first is in line 1"},
        {start + "[place]\ntenant = 5\n", "the place is a path in quotes"},
        {start + "[limits]\n\"numtasks.limit\" = 16\n",
         "4:1 limits.numtasks.limit: the quotes make one key of it: write numtasks.limit = … without them"},
        {start + "[limits]\nlimit = 16\n",
         "lacks its controller: write CONTROLLER.ATTRIBUTE, as in numtasks.limit = 16; did you mean "
         "numtasks.limit?"},
        {start + "[limits]\nnumtask.limit = 16\n",
         "4:9 limits.numtask.limit: there is no attribute \"numtask.limit\"; did you mean numtasks.limit?"},
        {start + "[limits]\nnumtasks.limit = \"16\"\n",
         "4:18 limits.numtasks.limit: expected a whole number or \"max\", found \"16\""},
        {start + "[limits]\ncpuacct.usage = 1\n", "can only be read"},
        {start + "[limits]\ncpuset.cpus = [0, 1]\n", "write a list in one string, as in \"0-3,8\""},
        {start + "[limits]\nTasksMax = 16\n", "unknown key \"TasksMax\": it is numtasks.limit"},
        {start + "numtasks.limit = 16\n",
         "3:1 service.numtasks: unknown key \"numtasks\" in [service]; limits belong in [limits]"},
        {start + "enforce = [\"numtask\"]\n",
         "3:12 service.enforce: there is no controller \"numtask\"; did you mean \"numtasks\"?"},
        {"[limits]\nnumtasks.limit = 16\n", "a target has no processes to limit"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        CHECK_THAT(fault(row.text), Catch::Contains(row.expected));
    }
}

TEST_CASE("several problems of one file are all told") {
    const UnitFile unit = read({"a = 1\n[service]\nb = 2\nnice = 99\n[limits]\nc.d = 5\n"});
    REQUIRE(unit.problems.size() == 4);
    CHECK(unit.problems[3].key == "limits.c.d");
}

TEST_CASE("the name of a unit is checked") {
    const UnitFile unit = read({"[service]\ncommand = \"a\"\n"}, "4711");
    REQUIRE(unit.problems.size() == 1);
    CHECK_THAT(unit.problems[0].message, Catch::Contains("taken for a pid"));
}

TEST_CASE("without a catalogue the form of limits is checked, and nothing more") {
    const std::vector<SourceText> texts = {
        {"web.toml", "[service]\ncommand = \"a\"\n[limits]\nanything.goes = 5\n"}};
    CHECK(read_unit("web", texts, nullptr).problems.empty());
}
