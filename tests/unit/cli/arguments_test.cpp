// Command lines: what each verb takes, what is refused, and with which hint.

#include "cli/arguments.h"

#include <catch2/catch.hpp>
#include <set>

#include "control/errors.h"

namespace cli = gpcsup::cli;
using Words = std::vector<std::string>;

namespace {

cli::Arguments parse(const Words& words) {
    auto parsed = cli::parse_arguments(words);
    INFO((parsed ? std::string() : parsed.error().message()));
    REQUIRE(parsed);
    return std::move(*parsed);
}

std::string refusal(const Words& words) {
    const auto parsed = cli::parse_arguments(words);
    REQUIRE_FALSE(parsed);
    CHECK(gpcsup::control::exit_status(parsed.error()) == 64);
    return parsed.error().message();
}

bool mentions(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Without a verb it is status, options or not") {
    CHECK(parse({}).verb->words == "status");
    const auto arguments = parse({"--json", "--runtime", "/x", "-v"});
    CHECK(arguments.verb->words == "status");
    CHECK(arguments.has("--json"));
    CHECK(arguments.has("--verbose"));
    CHECK(arguments.value("--runtime") == "/x");
}

TEST_CASE("Options stand before and behind the verb") {
    for (const Words& words :
         {Words{"--runtime", "/r", "-q", "list", "--json"}, Words{"list", "--json", "--runtime=/r", "-q"}}) {
        const auto arguments = parse(words);
        CHECK(arguments.verb->words == "list");
        CHECK(arguments.value("--runtime") == "/r");
        CHECK(arguments.has("--quiet"));
        CHECK(arguments.has("--json"));
    }
}

TEST_CASE("Every verb takes as many words as it says, and its own help") {
    for (const cli::Verb& verb : cli::verbs()) {
        DYNAMIC_SECTION(verb.words) {
            Words words;
            for (std::size_t at = 0; at < verb.words.size();) {
                const std::size_t end = std::min(verb.words.find(' ', at), verb.words.size());
                words.emplace_back(verb.words.substr(at, end - at));
                at = end + 1;
            }
            Words help = words;
            help.emplace_back("--help");
            const auto asked = parse(help);
            CHECK(asked.asks == cli::Arguments::Asks::help);
            CHECK(asked.verb->words == verb.words);

            std::size_t least = 0;
            std::size_t most = 0;
            bool unbounded = verb.stops == cli::Stops::at_command;
            for (const auto& positional : verb.positionals) {
                least += positional.least;
                most += positional.most;
                unbounded = unbounded || positional.most == 0;
            }
            Words enough = words;
            enough.insert(enough.end(), least, "x:/y=z");
            CHECK(parse(enough).words.size() == least);
            if (least > 0) {
                enough.pop_back();
                CHECK(mentions(refusal(enough), "is missing"));
            }
            Words more = words;
            more.insert(more.end(), most + 1, "x");
            if (unbounded) {
                CHECK(parse(more).words.size() == most + 1);
            } else {
                CHECK(mentions(refusal(more), "one argument too many"));
            }
            for (const auto& option : verb.options) {
                Words with = words;
                with.insert(with.end(), std::max<std::size_t>(least, 0), "w");
                with.insert(with.begin() + static_cast<std::ptrdiff_t>(words.size()),
                            std::string(option.flags.substr(0, option.flags.find(','))));
                if (cli::takes(option) == cli::Takes::value) {
                    with.insert(with.begin() + static_cast<std::ptrdiff_t>(words.size()) + 1, "value");
                }
                const auto parsed = parse(with);
                CHECK(parsed.has(option.flags.substr(option.flags.rfind(',') + 1)));
                CHECK(parsed.words.size() == least);
            }
        }
    }
}

TEST_CASE("No two verbs have the same words, and every one has help and a handler") {
    std::set<std::string_view> seen;
    for (const cli::Verb& verb : cli::verbs()) {
        CHECK(seen.insert(verb.words).second);
        CHECK(verb.handler != nullptr);
        CHECK_FALSE(verb.help.empty());
        CHECK(cli::synopsis(verb).starts_with(verb.words));
    }
}

TEST_CASE("Slips are answered with what was probably meant") {
    CHECK(mentions(refusal({"staus"}), "did you mean status?"));
    CHECK(mentions(refusal({"restrat", "web"}), "did you mean restart?"));
    CHECK(mentions(refusal({"xyzzy"}), "gpcsup --help"));
    CHECK(mentions(refusal({"group"}), "create, remove, rename, list"));
    CHECK(mentions(refusal({"group", "delete", "a:/b"}), "create, remove, rename, list"));
    CHECK(mentions(refusal({"status", "--jsno"}), "did you mean --json?"));
    CHECK(mentions(refusal({"start", "--json", "web"}), "no option --json"));
    CHECK(mentions(refusal({"kill", "-s"}), "--signal needs a value"));
}

TEST_CASE("What follows run is the command's, options and all") {
    for (const Words& words :
         {Words{"run", "-g", "a:/b", "-l", "numtasks.limit=4", "--", "ls", "-l", "--", "-g"},
          Words{"run", "-g", "a:/b", "--limit=numtasks.limit=4", "ls", "-l", "--", "-g"}}) {
        const auto arguments = parse(words);
        CHECK(arguments.words == Words{"ls", "-l", "--", "-g"});
        CHECK(arguments.values("--group") == Words{"a:/b"});
        CHECK(arguments.values("--limit") == Words{"numtasks.limit=4"});
    }
    CHECK(parse({"run", "ls", "--help", "--json"}).words == Words{"ls", "--help", "--json"});
    CHECK(parse({"run", "-g", "a:/b", "-g", "c:/d", "--", "--odd"}).values("--group") ==
          Words{"a:/b", "c:/d"});
    CHECK(parse({"run", "--", "--odd"}).words == Words{"--odd"});
    CHECK(mentions(refusal({"run", "--foo", "--", "ls"}), "no option --foo"));
    CHECK(mentions(refusal({"run", "-g", "a:/b"}), "COMMAND is missing"));
}

TEST_CASE("An option takes one value and leaves the words alone") {
    const auto arguments = parse({"kill", "-s", "KILL", "web"});
    CHECK(arguments.value("--signal") == "KILL");
    CHECK(arguments.words == Words{"web"});
    CHECK(parse({"log", "-fn5", "web"}).value("--lines") == "5");
    CHECK(parse({"log", "-fn5", "web"}).has("--follow"));
}

TEST_CASE("the whole has --version and --help") {
    CHECK(parse({"--version"}).asks == cli::Arguments::Asks::version);
    CHECK(parse({"--help"}).asks == cli::Arguments::Asks::help);
    CHECK(parse({"--help"}).verb == nullptr);
}

TEST_CASE("An option whose value may be left out does not take the next word for it") {
    const auto waits = parse({"group", "remove", "--wait", "tenant:/a"});
    CHECK(waits.has("--wait"));
    CHECK(waits.value("--wait") == "");
    CHECK(waits.words == Words{"tenant:/a"});
    const auto bounded = parse({"group", "remove", "-r", "--wait=5s", "tenant:/a", "--kill"});
    CHECK(bounded.value("--wait") == "5s");
    CHECK(bounded.has("--kill"));
    CHECK_FALSE(parse({"group", "remove", "tenant:/a"}).has("--wait"));
}

TEST_CASE("A hierarchy has a name and any number of controllers") {
    CHECK(parse({"hierarchy", "create", "trk"}).words == Words{"trk"});
    CHECK(parse({"hierarchy", "rebind", "h", "cpuset", "cpuacct"}).words == Words{"h", "cpuset", "cpuacct"});
    CHECK(mentions(refusal({"hierarchy", "create"}), "NAME is missing"));
    CHECK(mentions(refusal({"hierarchy", "remove", "a", "b"}), "one argument too many"));
}
