#include "config/load.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/fake_catalogue.h"

using namespace gpcsup;
using namespace gpcsup::config;
namespace fs = std::filesystem;

namespace {

const test::FakeCatalogue catalogue;

class Directory {  // of this test alone; gone with it
  public:
    Directory() {
        std::string pattern = (fs::temp_directory_path() / "gpcsup-config-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() { fs::remove_all(path_); }
    void write(const std::string& name, const std::string& text) const {
        fs::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name) << text;
    }
    std::string operator/(const std::string& name) const { return (path_ / name).string(); }

  private:
    fs::path path_;
};

constexpr char hierarchies[] = "[hierarchy.tenant]\ncontrollers = [\"numtasks\"]\n";
constexpr char service[] = "[service]\ncommand = \"/bin/a\"\n";

std::string all(const Loaded& loaded) {
    std::string text;
    for (const Located& problem : loaded.problems) {
        text += format(problem) + "\n";
    }
    return text;
}

const units::Declaration& unit(const Loaded& loaded, std::string_view name) {
    const auto found = std::ranges::find(loaded.units, name, &units::Declaration::name);
    if (found == loaded.units.end()) {
        FAIL(name << " is not loaded: " << all(loaded));
    }
    return *found;
}

}  // namespace

TEST_CASE("directories shadow whole files, drop-ins merge from all of them") {
    const Directory place;
    place.write("gpcsup.toml", hierarchies);
    place.write("etc/web.toml", std::string("description = \"etc\"\n") + service);
    place.write("lib/web.toml", std::string("description = \"lib\"\nenabled = false\n") + service);
    place.write("lib/db.toml", service);
    place.write("lib/web.d/10-a.toml", "[service]\nnice = 1\numask = \"001\"\n");
    place.write("lib/web.d/30-c.toml", "[service]\nnice = 3\n");
    place.write("etc/web.d/20-b.toml", "[service]\nnice = 2\n");
    place.write("etc/web.d/30-c.toml", "[service]\nuser = \"etc\"\n");
    place.write("etc/db.d/50-enable.toml", "enabled = false\n");
    place.write("lib/db.d/60-mask.toml", "masked = true\n");
    place.write("etc/default.d/10.toml", "[depends]\nwants = [\"db\"]\n");
    place.write("etc/README", "not a unit");
    place.write("etc/empty.d/README", "not a drop-in");
    const Loaded loaded =
        load({place / "gpcsup.toml", {place / "etc", place / "lib", place / "missing"}}, &catalogue);
    CHECK(all(loaded).empty());
    CHECK(loaded.hierarchies.size() == 1);
    CHECK(loaded.units.size() == 3);
    CHECK(unit(loaded, "web").description == "etc");
    CHECK(unit(loaded, "web").enabled);
    CHECK(unit(loaded, "web").nice == 2);
    CHECK(unit(loaded, "web").umask == 1U);
    CHECK(unit(loaded, "web").user == "etc");
    CHECK_FALSE(unit(loaded, "db").enabled);
    CHECK(unit(loaded, "db").masked);
    CHECK(unit(loaded, "default").depends.wants == std::vector<std::string>{"db"});
    CHECK(loaded.graph.find("web").has_value());
}

TEST_CASE("a text's checksum changes with each of its files, and only then") {
    const Directory place;
    place.write("u/web.toml", service);
    place.write("u/db.toml", service);
    const Sources sources{"", {place / "u"}};
    const Loaded first = load(sources, &catalogue);
    CHECK(load(sources, &catalogue).texts == first.texts);
    place.write("u/web.d/1.toml", "enabled = false");
    const Loaded second = load(sources, &catalogue);
    CHECK(second.texts.at("web") != first.texts.at("web"));
    CHECK(second.texts.at("db") == first.texts.at("db"));
}

TEST_CASE("a broken file breaks its own unit, and the graph is told at its place") {
    const Directory place;
    place.write("gpcsup.toml", hierarchies);
    place.write("u/bad.toml", "[service]\ncomand = \"/bin/a\"\n");
    place.write("u/half.toml", service);
    place.write("u/half.d/50.toml", "enabled = yes\n");
    place.write("u/needs-bad.toml", std::string(service) + "[depends]\nrequires = [\"bad\"]\n");
    place.write("u/typo.toml", std::string(service) + "[depends]\nafter = [\"godo\"]\n");
    place.write("u/good.toml", service);
    place.write("u/a.toml", std::string(service) + "[depends]\nrequires = [\"good\", \"b\"]\n");
    place.write("u/b.toml", std::string(service) + "[depends]\nafter = [\"a\"]\n");
    place.write("u/place.toml", std::string(service) + "[place]\ntennant = \"/acme\"\n");
    place.write("u/limit.toml", std::string(service) + "[limits]\ncpuset.cpus = \"1\"\n");
    place.write("u/12.toml", service);
    place.write("u/ghost.d/50.toml", "enabled = false\n");
    const Loaded loaded = load({place / "gpcsup.toml", {place / "u"}}, &catalogue);
    const std::string text = all(loaded);
    const std::string u = place / "u/";
    for (const std::string& expected : {
             u + "bad.toml:2:1: service.comand: unknown key \"comand\" in [service]; did you mean "
                 "\"command\"?",
             u + "half.d/50.toml:1:11: enabled: ",
             u + "typo.toml:4:10: depends.after: there is no unit \"godo\"; did you mean \"good\"?",
             u + "a.toml:4:21: depends.requires: these units wait for each other: a -> b (requires) -> a "
                 "(after)",
             u + "place.toml:4:1: place.tennant: there is no hierarchy \"tennant\"; did you mean \"tenant\"?",
             u + "limit.toml:4:15: limits.cpuset.cpus: the controller \"cpuset\" is bound to no hierarchy",
             u + "12.toml:1:1: \"12\" cannot be the name of a unit",
             u + "ghost.d/50.toml:1:1: there is no unit \"ghost\" to add this to",
         }) {
        CHECK_THAT(text, Catch::Contains(expected));
    }
    CHECK(loaded.problems.size() == 8);
    CHECK(std::ranges::is_sorted(loaded.problems, {},
                                 [](const Located& p) { return std::tie(p.file, p.line, p.column); }));
    const auto refusal = [&](std::string_view name) {
        return loaded.graph[*loaded.graph.find(name)].refusal;
    };
    CHECK_THAT(refusal("bad"), Catch::StartsWith("config: ") && Catch::Contains("bad.toml:2:1"));
    CHECK_THAT(refusal("half"), Catch::StartsWith("config: "));
    CHECK_THAT(refusal("place"), Catch::Contains("tennant"));
    CHECK_THAT(refusal("a"), Catch::StartsWith("cycle: "));
    CHECK(refusal("needs-bad").empty());
    CHECK(refusal("good").empty());
    CHECK(refusal("typo").empty());
}

TEST_CASE("what cannot be read is a problem and never a hang") {
    const Directory place;
    place.write("u/good.toml", service);
    place.write("u/large.toml", std::string(2 << 20, '#'));
    fs::create_directories(place / "u/folder.toml");
    REQUIRE(::mkfifo((place / "u/fifo.toml").c_str(), 0600) == 0);
    fs::create_symlink("nowhere", place / "u/dangling.toml");
    const Loaded loaded = load({place / "none.toml", {place / "u"}}, &catalogue);
    CHECK(loaded.problems.size() == 3);
    CHECK_THAT(all(loaded), Catch::Contains("fifo.toml is not a regular file"));
    CHECK_THAT(all(loaded), Catch::Contains("larger than 1 MiB"));
    CHECK_THAT(all(loaded), Catch::Contains("dangling.toml: No such file"));
    CHECK(loaded.units.size() == 1);
    CHECK(loaded.broken.size() == 3);
}

TEST_CASE("what an editor leaves behind is no unit, and no drop-in") {
    const Directory place;
    place.write("u/web.toml", service);
    place.write("u/.web.toml", "not TOML");
    place.write("u/web.d/.50.toml", "not TOML");
    place.write("u/.old.d/50.toml", "not TOML");
    fs::create_symlink("somebody@somewhere.1:2", place / "u/.#web.toml");
    fs::create_symlink("somebody@somewhere.1:2", place / "u/web.d/.#50.toml");
    const Loaded loaded = load({"", {place / "u"}}, &catalogue);
    CHECK(all(loaded).empty());
    CHECK(loaded.units.size() == 1);
}

TEST_CASE("one file alone can be checked, whatever it is") {
    const Directory place;
    place.write("gpcsup.toml", "[hierarchy.t.group./acme]\n");
    place.write("other.toml", std::string(hierarchies) + "compat = 5\n");
    place.write("web.toml", "[service]\n");
    place.write("good.toml", service);
    place.write("web.d/50.toml", "[service]\nnice = 5\n");
    place.write("web.d/51.toml", "[service]\nnice = 50\n");
    place.write("web.d/52.toml", "[service]\ncommand = \"a && b\"\n");
    place.write("web.d/53.toml", "[limits]\nnumtasks.limit = 5\n");
    CHECK_THAT(check_file(place / "gpcsup.toml", &catalogue).at(0).message, Catch::Contains("needs quotes"));
    CHECK(check_file(place / "other.toml", &catalogue).at(0).key == "hierarchy.tenant.compat");
    CHECK(check_file(place / "web.toml", &catalogue).at(0).key == "service.command");
    CHECK(check_file(place / "good.toml", &catalogue).empty());
    CHECK(check_file(place / "web.d/50.toml", &catalogue).empty());
    CHECK(check_file(place / "web.d/51.toml", &catalogue).at(0).key == "service.nice");
    CHECK(check_file(place / "web.d/52.toml", &catalogue).at(0).key == "service.command");
    CHECK(check_file(place / "web.d/53.toml", &catalogue).empty());
    CHECK_THAT(check_file(place / "missing.toml", &catalogue).at(0).message, Catch::Contains("No such file"));
}
