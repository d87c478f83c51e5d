// Random trees, forks, moves, exits and removals, beside a model that is too simple to be wrong: a map from
// pid to paths.

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "controllers/fake_host.h"
#include "controllers/lodger.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;
using grouping::HierarchyId;

namespace {

// Refuses or fails at random, in every hierarchy, beside the real controllers.
struct Moody final : grouping::Participant {
    std::mt19937& random;
    explicit Moody(std::mt19937& source) : random(source) {}
    bool one_in(unsigned many) { return random() % many == 0; }
    bool failing = false;
    base::Result<> can_attach(HierarchyId, std::span<const grouping::Transfer>) override {
        return one_in(8) ? base::refuse(EACCES, "not today") : base::Result<>{};
    }
    void cancel_attach(HierarchyId, std::span<const grouping::Transfer>) override {}
    base::Result<> attach(HierarchyId, std::span<const grouping::Transfer>) override {
        failing = !failing && one_in(8);  // never twice: the way back is free
        return failing ? base::refuse(EIO, "not this time") : base::Result<>{};
    }
};

class Model {
  public:
    explicit Model(unsigned seed) : random_(seed) {
        hierarchies_ = {HierarchyId{0},
                        *set_.create_hierarchy("compute", std::vector<std::string>{"cpuset", "tally"}),
                        *set_.create_hierarchy("tenant", std::vector<std::string>{"numtasks", "cpuacct"})};
        for (const HierarchyId id : hierarchies_) {
            groups_[id] = {"/"};
        }
        fork_from_nobody();
    }

    void step() {
        switch (random_() % 11) {
            case 0:
            case 1:
                return create_group();
            case 2:
                return remove_group();
            case 3:
            case 4:
                return fork();
            case 5:
                return exit();
            case 6:
                return move();
            case 7:
                return set_cpus();
            case 8:
                return change_hierarchies();
            case 9:
                return remove_tree();
            default:
                return hotplug();
        }
    }

    void compare() {
        std::map<HierarchyId, std::map<std::string, std::uint32_t>> here;
        std::set<std::map<HierarchyId, std::string>> combinations;
        for (const auto& [pid, places] : processes_) {
            combinations.insert(places);
            for (const auto& [hierarchy, path] : places) {
                ++here[hierarchy][path];
            }
        }
        const auto& forest = host_.trees();
        for (const HierarchyId id : hierarchies_) {
            std::uint32_t sum = 0;
            std::set<std::string> paths;
            forest.for_each_below(forest.hierarchy(id)->root, [&](const grouping::Group& group) {
                const std::string path = forest.path(group.id);
                paths.insert(path);
                sum += group.processes;
                CHECK(group.processes == here[id][path]);
                CHECK(group.populated == count_below(here[id], path));
                compare_members(group, path, id);
            });
            CHECK(sum == processes_.size());
            CHECK(paths == groups_[id]);
        }
        std::map<HierarchyId, std::string> roots;
        for (const HierarchyId id : hierarchies_) {
            roots[id] = "/";
        }
        combinations.insert(roots);
        CHECK(forest.membership_count() == combinations.size());
        compare_cpus();
    }

    void end() {
        while (!processes_.empty()) {
            exit();
        }
        for (const HierarchyId id : hierarchies_) {
            while (groups_[id].size() > 1) {
                const std::string longest = *std::ranges::max_element(groups_[id], {}, &std::string::size);
                CHECK(set_.remove_group(group_at(id, longest)));
                groups_[id].erase(longest);
            }
        }
        compare();
        CHECK(host_.trees().membership_count() == 1);
        CHECK(host_.budgets_.empty());
        CHECK(host_.table_->size() == 0);
        const auto& shared = host_.table_->shared();
        const auto in_use = [](const processes::Book& book) { return book.used != 0; };
        // In each hierarchy but `unit`: the root's own, or what those below it used that are gone.
        CHECK(std::count_if(shared.books, shared.books + shared.books_used, in_use) <=
              1 << (host_.trees().hierarchies().size() - 1));
    }

  private:
    std::size_t below(std::size_t bound) { return random_() % bound; }
    template <class Set>
    auto pick(const Set& from) {
        return *std::next(from.begin(), static_cast<std::ptrdiff_t>(below(from.size())));
    }
    GroupId group_at(HierarchyId id, const std::string& path) {
        return *host_.trees().resolve(host_.trees().hierarchy(id)->name + ":" + path);
    }
    static bool is_below(const std::string& path, const std::string& top) {
        return top == "/" || path == top || path.starts_with(top + "/");
    }
    static std::uint32_t count_below(const std::map<std::string, std::uint32_t>& here,
                                     const std::string& top) {
        std::uint32_t sum = 0;
        for (const auto& [path, count] : here) {
            sum += is_below(path, top) ? count : 0;
        }
        return sum;
    }

    void create_group() {
        const HierarchyId id = pick(hierarchies_);
        const std::string parent = pick(groups_[id]);
        const std::string path = (parent == "/" ? "" : parent) + "/g" + std::to_string(below(4));
        const bool exists = groups_[id].contains(path);
        const auto made = set_.create_group(group_at(id, parent), path.substr(path.rfind('/') + 1));
        const auto depth = std::ranges::count(path, '/');
        CHECK(made.has_value() == (!exists && depth <= static_cast<long>(grouping::max_depth)));
        if (made) {
            groups_[id].insert(path);
        }
    }

    void remove_group() {
        const HierarchyId id = pick(hierarchies_);
        const std::string path = pick(groups_[id]);
        const auto blocks = [&](const std::string& other) { return other != path && is_below(other, path); };
        const bool has_children = std::ranges::any_of(groups_[id], blocks);
        const bool has_members =
            std::ranges::any_of(processes_, [&](const auto& each) { return each.second.at(id) == path; });
        const auto removed = set_.remove_group(group_at(id, path));
        CHECK(removed.has_value() == (path != "/" && !has_children && !has_members));
        if (removed) {
            groups_[id].erase(path);
            asked_.erase(id == hierarchies_[1] ? path : "");
        } else {
            CHECK(removed.error().code == EBUSY);
        }
    }

    void remove_tree() {
        const HierarchyId id = pick(hierarchies_);
        const std::string top = pick(groups_[id]);
        const bool has_members = std::ranges::any_of(
            processes_, [&](const auto& each) { return is_below(each.second.at(id), top); });
        const auto removed = set_.remove_tree(group_at(id, top));
        CHECK(removed.has_value() == (top != "/" && !has_members));
        if (removed) {
            const auto gone =
                std::erase_if(groups_[id], [&](const auto& path) { return is_below(path, top); });
            CHECK(removed->size() == gone);
            if (id == hierarchies_[1]) {
                std::erase_if(asked_, [&](const auto& each) { return is_below(each.first, top); });
            }
        }
    }

    // A fourth hierarchy comes, changes its controller and goes, as far as its groups let it.
    void change_hierarchies() {
        const std::vector<std::string> words =
            below(2) == 0 ? std::vector<std::string>{"lodger"} : std::vector<std::string>{};
        if (hierarchies_.size() == 3) {
            CHECK(set_.create_hierarchy("late", std::vector<std::string>{"tally"}).error().code == EBUSY);
            const HierarchyId id = *set_.create_hierarchy("late", words);
            hierarchies_.push_back(id);
            groups_[id] = {"/"};
            for (auto& [pid, places] : processes_) {
                places[id] = "/";
            }
            return;
        }
        const HierarchyId id = hierarchies_[3];
        const bool is_bare = groups_[id].size() == 1;
        const auto changed = below(2) == 0 ? set_.rebind(id, words) : set_.remove_hierarchy(id);
        CHECK(changed.has_value() == is_bare);
        if (host_.trees().hierarchy(id) != nullptr) {
            return;
        }
        hierarchies_.pop_back();
        groups_.erase(id);
        for (auto& [pid, places] : processes_) {
            places.erase(id);
        }
    }

    void fork_from_nobody() {
        const pid_t pid = next_pid_++;
        host_.start(pid);
        for (const HierarchyId id : hierarchies_) {
            processes_[pid][id] = "/";
        }
    }

    void fork() {
        if (processes_.empty()) {
            return fork_from_nobody();
        }
        const pid_t parent = pick(processes_).first;
        const pid_t pid = next_pid_++;
        auto& from = *host_.table_->find(parent);
        auto& child = host_.start(pid, from.membership, parent);
        host_.masks_[child.id()] = host_.masks_[from.id()];
        set_.forked(from, child);
        processes_[pid] = processes_[parent];
    }

    void exit() {
        if (processes_.empty()) {
            return;
        }
        const pid_t pid = pick(processes_).first;
        auto& process = *host_.table_->find(pid);
        set_.exited(process);
        host_.table_->mark_dead(process);
        host_.masks_.erase(process.id());
        host_.table_->erase(process);
        processes_.erase(pid);
    }

    void move() {
        grouping::PlacementRequest request;
        std::vector<std::pair<HierarchyId, std::string>> targets;
        for (const HierarchyId id : hierarchies_) {
            if (below(2) == 0) {
                targets.emplace_back(id, pick(groups_[id]));
                request.groups.push_back(group_at(id, targets.back().second));
            }
        }
        for (std::size_t count = below(4); count-- > 0 && !processes_.empty();) {
            request.processes.push_back(host_.table_->find(pick(processes_).first)->id());
        }
        grouping::Participant* parts[] = {&set_, &moody_};
        if (!grouping::place(host_.trees(), parts, people_, log_, request).result()) {
            return;  // the comparison shows that nothing moved
        }
        for (const base::ProcessId process : request.processes) {
            for (const auto& [id, path] : targets) {
                processes_[process.pid][id] = path;
            }
        }
    }

    void set_cpus() {
        const std::string path = pick(groups_[hierarchies_[1]]);
        base::CpuList wanted;
        for (unsigned cpu = 0; cpu < 4; ++cpu) {
            if (below(2) == 0) {
                wanted.insert(cpu);
            }
        }
        const std::vector<SettingText> settings{{"cpuset.cpus", wanted.format()}};
        if (set_.set(group_at(hierarchies_[1], path), settings)) {
            asked_[path] = wanted;
        }
    }

    void hotplug() {
        host_.online_ = base::CpuList::up_to(1 + static_cast<unsigned>(below(4)));
        set_.refresh();
        for (const auto& [pid, places] : processes_) {  // the kernel's part: nobody keeps a CPU that is gone
            if (places.at(hierarchies_[1]) == "/") {
                host_.masks_[host_.table_->find(pid)->id()] = host_.online_;
            }
        }
    }

    void compare_members(const grouping::Group& group, const std::string& path, HierarchyId id) {
        std::set<pid_t> expected;
        for (const auto& [pid, places] : processes_) {
            if (places.at(id) == path) {
                expected.insert(pid);
            }
        }
        std::set<pid_t> members;
        host_.table_->for_each_member(group.id, [&](processes::Process& each) { members.insert(each.pid); });
        CHECK(members == expected);
    }

    // effective by the book, without any cache.
    base::CpuList effective(const std::string& path) {
        if (path == "/") {
            return host_.online_;
        }
        const std::string parent = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
        const base::CpuList above = effective(parent);
        const base::CpuList wanted = asked_[path].empty() ? above : asked_[path].intersect(above);
        return wanted.empty() ? above : wanted;
    }

    void compare_cpus() {
        const HierarchyId compute = hierarchies_[1];
        for (const std::string& path : groups_[compute]) {
            INFO(path);
            const GroupId id = group_at(compute, path);
            CHECK(format_value(*set_.get(id, "cpuset.effective_cpus")) == effective(path).format());
        }
        for (const auto& [pid, places] : processes_) {
            INFO("process " << pid << " in " << places.at(compute));
            CHECK(host_.mask(pid) == effective(places.at(compute)).format());
        }
    }

    std::mt19937 random_;
    test::FakeHost host_{4};
    ControllerSet set_{host_.trees(), host_};
    TablePopulation people_{host_.trees(), *host_.table_, host_.threads_, nullptr};
    test::FakeLog log_;
    Moody moody_{random_};
    std::vector<HierarchyId> hierarchies_;
    std::map<HierarchyId, std::set<std::string>> groups_;
    std::map<pid_t, std::map<HierarchyId, std::string>> processes_;
    std::map<std::string, base::CpuList> asked_;
    pid_t next_pid_ = 100;
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

TEST_CASE("forest, table and controllers agree with a simple model") {
    for (unsigned seed = 1; seed <= 12; ++seed) {
        run(seed, 200);
    }
    run(std::random_device{}(), 300);
}
