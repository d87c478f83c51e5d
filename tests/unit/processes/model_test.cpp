// Random services, forks, ends, waits, moves, losses and restarts, beside a model that is too simple to be
// wrong: a map from pid to the name of its group. The books of CPU time have their own (ledger_test.cpp).

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "processes/world.h"

using namespace gpcsup;
using namespace gpcsup::tests;

namespace {

const std::vector<std::string> names{"", "a", "b", "c"};

class Model {
  public:
    explicit Model(unsigned seed) : random_(seed) { service(); }

    void step() {
        switch (random_() % 12) {
            case 0:
                return service();
            case 1:
            case 2:
            case 3:
                return fork();
            case 4:
            case 5:
                return exit();
            case 6:
                return wait();
            case 7:
            case 8:
                return move();
            case 9:
                return thread();
            case 10:
                return lose();
            default:
                return restart();
        }
    }

    void compare() {
        world_.tracker->drain().value();
        world_.reader->drain(*world_.tracker).value();
        std::map<std::string, std::set<pid_t>> expected;
        for (const auto& [pid, group] : alive_) {
            expected[group].insert(pid);
        }
        std::size_t sum = 0;
        for (const std::string& name : names) {
            INFO("group '" << name << "'");
            std::set<pid_t> members;
            const auto group = name.empty() ? world_.root_group : world_.group(name);
            world_.table->for_each_member(group, [&](processes::Process& each) { members.insert(each.pid); });
            CHECK(members == expected[name]);
            CHECK(world_.forest.group(group)->processes == members.size());
            sum += members.size();
        }
        CHECK(sum == alive_.size());
        CHECK(world_.forest.group(world_.root_group)->populated == alive_.size());
        CHECK(world_.table->size() == alive_.size());
    }

    void end() {
        while (!alive_.empty()) {
            exit(alive_.begin()->first);
        }
        for (int round = 0; round < 3; ++round) {
            world_.settle();
        }
        compare();
        CHECK(world_.table->dead() == 0);
        CHECK(world_.forest.membership_count() == 1);
        std::size_t rows = 0;
        world_.table->for_each([&](processes::Process&) { ++rows; });
        CHECK(rows == 0);
        CHECK(world_.total() == 0);
        for (const std::string& name : names) {  // a book stays as long as its groups
            if (!name.empty()) {
                const auto group = world_.group(name);
                REQUIRE(world_.forest.remove_group(group));
                world_.table->books().forget_group(group, world_.root_group);
            }
        }
        const auto& shared = world_.table->shared();
        // The root's own, and what those below it used that are gone.
        CHECK(std::count_if(shared.books, shared.books + shared.books_used,
                            [](const processes::Book& book) { return book.used != 0; }) <= 2);
    }

  private:
    std::size_t below(std::size_t bound) { return random_() % bound; }
    pid_t any() {
        return std::next(alive_.begin(), static_cast<std::ptrdiff_t>(below(alive_.size())))->first;
    }

    void service() {
        const std::string& name = names[below(names.size())];
        alive_[world_.service(name)] = name;
    }
    void fork() {
        if (!alive_.empty()) {
            const pid_t parent = any();
            alive_[world_.fork(parent)] = alive_[parent];
        }
    }
    void exit() {
        if (!alive_.empty()) {
            exit(any());
        }
    }
    void exit(pid_t pid) {
        world_.exit(pid);
        alive_.erase(pid);
    }
    void wait() {
        for (const auto& [pid, task] : world_.machine.all()) {
            if (task.state == 'Z' && task.parent != World::init) {
                return world_.wait(pid);
            }
        }
    }
    void move() {
        if (!alive_.empty()) {
            const pid_t pid = any();
            const std::string& name = names[below(names.size())];
            world_.move(pid, name);
            alive_[pid] = name;
        }
    }
    void thread() {
        if (!alive_.empty()) {
            world_.start_thread(any());
        }
    }
    // A child of a parent that ended with neither heard of would be an orphan that nobody can explain: what
    // is lost here are forks and ends of this moment, as with an overrun under load.
    void lose() {
        world_.tracker->drain().value();
        for (std::size_t count = below(4); count-- > 0;) {
            fork();
        }
        if (below(2) == 0) {
            for (const auto& [pid, group] : alive_) {
                if (world_.machine.children(pid).value().empty()) {
                    exit(pid);
                    break;
                }
            }
        }
        world_.tracker->lose();
    }
    void restart() {
        if (below(4) == 0) {
            world_.successor();
        }
    }

    std::mt19937 random_;
    World world_;
    std::map<pid_t, std::string> alive_;
};

void run(unsigned seed, unsigned steps) {
    INFO("seed " << seed);
    Model model(seed);
    for (unsigned count = 0; count < steps; ++count) {
        INFO("step " << count);
        model.step();
        model.compare();
    }
    model.end();
}

}  // namespace

TEST_CASE("every process that exists is in the group the model says, and nothing else is") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        run(seed, 300);
    }
    const unsigned seed = std::random_device{}();
    run(seed, 600);
}
