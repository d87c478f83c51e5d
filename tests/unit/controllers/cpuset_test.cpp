#include "controllers/cpuset.h"

#include <catch2/catch.hpp>

#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;

namespace {

struct Fixture {
    test::FakeHost host{4};
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId compute = *set.create_hierarchy("compute", std::vector<std::string>{"cpuset"});

    GroupId group(std::string_view path) { return *set.create_path(compute, path); }
    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    std::string get(GroupId id, std::string_view name) {
        return format_value(*set.get(id, "cpuset." + std::string(name)));
    }
    std::string effective(GroupId id) { return get(id, "effective_cpus"); }
    grouping::MembershipId in(GroupId id) {
        grouping::Places places{};
        places[compute.value] = id;
        return host.trees().intern(places);
    }
};

std::vector<SettingText> cpus(std::string list) {
    return {{"cpuset.cpus", std::move(list)}};
}
std::vector<SettingText> exclusive(std::string flag) {
    return {{"cpuset.cpu_exclusive", std::move(flag)}};
}

}  // namespace

TEST_CASE_METHOD(Fixture, "asked and effective CPUs") {
    const auto root = host.trees().hierarchy(compute)->root;
    const auto a = group("/a");
    const auto b = group("/a/b");
    CHECK(get(root, "cpus") == "0-3");
    CHECK(get(root, "cpu_exclusive") == "true");
    CHECK(get(a, "cpus").empty());
    CHECK(effective(b) == "0-3");
    CHECK(put(a, cpus("1,2")));
    CHECK(get(a, "cpus") == "1-2");
    CHECK(effective(a) == "1-2");
    CHECK(effective(b) == "1-2");
    CHECK(get(b, "cpus").empty());
    CHECK(put(b, cpus("2")));
    CHECK(effective(b) == "2");
    CHECK(effective(group("/a/new")) == "1-2");
    CHECK(put(b, cpus("")));
    CHECK(effective(b) == "1-2");
}

TEST_CASE_METHOD(Fixture, "the rules of nesting and exclusiveness, each with its errno and sentence") {
    const auto a = group("/a");
    const auto b = group("/a/b");
    const auto c = group("/c");
    REQUIRE(put(a, cpus("0-1")));
    REQUIRE(put(b, cpus("1")));
    struct Row {
        std::string what;
        GroupId group;
        std::vector<SettingText> settings;
        int code;
        std::string sentence;
    };
    const auto root = host.trees().hierarchy(compute)->root;
    const Row rows[] = {
        {"beyond the machine", c, cpus("2-5"), EACCES,
         "cpuset.cpus of compute:/c: CPUs 4-5 are not in its parent compute:/ (0-3); these are the CPUs "
         "online"},
        {"beyond the parent", b, cpus("1-2"), EACCES,
         "cpuset.cpus of compute:/a/b: CPU 2 is not in its parent compute:/a (0-1); a group's CPUs are a "
         "part of its parent's"},
        {"below a child", a, cpus("0"), EBUSY,
         "cpuset.cpus of compute:/a: compute:/a/b still has CPU 1; change the groups below first"},
        {"exclusive below a shared parent", b, exclusive("true"), EACCES,
         "cpuset.cpu_exclusive of compute:/a/b: its parent compute:/a is not exclusive; set it there first"},
        {"the root's CPUs", root, cpus("0"), EACCES,
         "cpuset.cpus of compute:/ is the machine's and cannot be set; make a group below it"},
        {"read-only", a, {{"cpuset.effective_cpus", "0"}}, EACCES, "cpuset.effective_cpus can only be read"},
        {"backwards", a, cpus("1-0"), EINVAL, ""},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        const auto done = put(row.group, row.settings);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == row.code);
        if (!row.sentence.empty()) {
            CHECK(done.error().message() == row.sentence);
        }
        CHECK(get(a, "cpus") == "0-1");
        CHECK(get(b, "cpus") == "1");
    }
}

TEST_CASE_METHOD(Fixture, "a child's CPUs count through an inheriting group in between") {
    const auto top = group("/a");
    const auto deep = group("/a/b/c");
    REQUIRE(put(top, cpus("0-1")));
    REQUIRE(put(deep, cpus("1")));
    CHECK(put(top, cpus("0")).error().code == EBUSY);
    CHECK(put(top, cpus("")));  // wider is never in the way
}

TEST_CASE_METHOD(Fixture, "exclusive CPUs") {
    const auto a = group("/a");
    const auto b = group("/b");
    const auto c = group("/c");
    CHECK(put(a, {{"cpuset.cpus", "0-1"}, {"cpuset.cpu_exclusive", "true"}}));
    SECTION("no sibling may ask for one of them") {
        const auto clash = put(b, cpus("1-2"));
        CHECK(clash.error().code == EINVAL);
        CHECK(
            clash.error().message() ==
            "cpuset.cpus of compute:/b: CPU 1 would be shared with compute:/a, and compute:/a is exclusive");
        CHECK(put(b, cpus("2")));
        CHECK(put(c, cpus("2-3")));  // the others may share
        CHECK(put(a, cpus("0-2")).error().code == EINVAL);
    }
    SECTION("nor become exclusive over one that another has") {
        CHECK(put(b, cpus("2")));
        CHECK(put(c, cpus("2-3")));
        CHECK(put(c, exclusive("true")).error().code == EINVAL);
        CHECK(get(c, "cpu_exclusive") == "false");
    }
    SECTION("one that inherits gets what is left, and all of it back") {
        CHECK(effective(b) == "2-3");
        CHECK(put(a, exclusive("false")));
        CHECK(effective(b) == "0-3");
        CHECK(put(a, exclusive("true")));
        CHECK(set.remove_group(a));
        CHECK(effective(b) == "0-3");
    }
    SECTION("if nothing is left it shares rather than starves") {
        CHECK(put(a, cpus("0-3")));
        CHECK(effective(b) == "0-3");
    }
    SECTION("a parent of an exclusive child stays exclusive") {
        const auto below = group("/a/x");
        CHECK(put(below, {{"cpuset.cpus", "0"}, {"cpuset.cpu_exclusive", "true"}}));
        CHECK(put(a, exclusive("false")).error().code == EBUSY);
    }
}

TEST_CASE_METHOD(Fixture, "both settings of one transaction are judged together") {
    const auto a = group("/a");
    const auto b = group("/b");
    REQUIRE(put(a, {{"cpuset.cpus", "0-1"}, {"cpuset.cpu_exclusive", "true"}}));
    REQUIRE(put(b, cpus("2-3")));
    CHECK(put(a, {{"cpuset.cpus", "1-2"}, {"cpuset.cpu_exclusive", "false"}}));
    CHECK(get(a, "cpus") == "1-2");
}

TEST_CASE_METHOD(Fixture, "members have the group's effective CPUs") {
    const auto a = group("/a");
    const auto b = group("/a/b");
    host.start(10, in(a));
    host.start(11, in(b));
    host.start(12);
    REQUIRE(put(a, cpus("1-2")));
    CHECK(host.mask(10) == "1-2");
    CHECK(host.mask(11) == "1-2");
    CHECK(host.mask(12) == "0-3");
    SECTION("a change below an equal mask touches nobody") {
        const auto calls = host.affinity_calls_;
        CHECK(put(b, cpus("1-2")));
        CHECK(host.affinity_calls_ == calls);
    }
    SECTION("one that may not be changed makes the whole transaction go back") {
        host.forbidden_.insert(11);
        const auto refused = put(a, cpus("0"));
        CHECK(refused.error().code == EPERM);
        CHECK(get(a, "cpus") == "1-2");
        CHECK(effective(b) == "1-2");
        CHECK(host.mask(10) == "1-2");
        CHECK(set.settings_of(a).front().value == "1-2");
    }
    SECTION("a child forked while its parent was being moved gets the new mask") {
        auto& parent = *host.table_->find(10);
        auto& late = host.start(20, in(a), 10);  // with every CPU: forked before
        set.forked(parent, late);
        CHECK(host.mask(20) == "1-2");
        host.masks_[late.id()] = *base::parse_cpu_list("2");
        const auto calls = host.affinity_calls_;
        set.forked(parent, late);  // one that narrowed its own mask is left alone
        CHECK(host.affinity_calls_ == calls);
    }
}

TEST_CASE_METHOD(Fixture, "a move gives the whole new set") {
    const auto a = group("/a");
    REQUIRE(put(a, cpus("1-2")));
    test::FakeLog log;
    grouping::Participant* parts[] = {&set};
    TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
    auto& process = host.start(10);
    host.masks_[process.id()] = *base::parse_cpu_list("3");
    CHECK(grouping::place(host.trees(), parts, people, log, {{process.id()}, {a}}).result());
    CHECK(host.mask(10) == "1-2");
    CHECK(host.trees().place(process.membership, compute) == a);
    CHECK(log.trail_ == "intend commit7 ");
    SECTION("and back") {
        const auto root = host.trees().hierarchy(compute)->root;
        CHECK(grouping::place(host.trees(), parts, people, log, {{process.id()}, {root}}).result());
        CHECK(host.mask(10) == "0-3");
    }
    SECTION("all or none: one that may not be changed keeps the others where they were") {
        auto& other = host.start(11);
        auto& third = host.start(12);
        host.forbidden_.insert(11);
        const auto outcome =
            grouping::place(host.trees(), parts, people, log, {{other.id(), third.id()}, {a}}).result();
        CHECK(outcome.error().code == EPERM);
        CHECK(host.mask(12) == "0-3");
        CHECK(host.trees().place(third.membership, compute) == host.trees().hierarchy(compute)->root);
        CHECK(log.trail_.ends_with("abandon7 "));
    }
}

TEST_CASE_METHOD(Fixture, "a child told of after a move has not kept the mask of before it") {
    const auto narrow = group("/narrow");
    const auto wide = group("/wide");
    const auto free = group("/free");
    REQUIRE(put(narrow, cpus("1")));
    REQUIRE(put(wide, cpus("0-2")));
    test::FakeLog log;
    grouping::Participant* parts[] = {&set};
    TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
    auto& parent = host.start(10, in(narrow));
    host.masks_[parent.id()] = *base::parse_cpu_list("1");
    const auto born = [&](pid_t pid, std::string_view mask) {
        auto& child = host.start(pid, parent.membership, parent.pid);
        host.masks_[child.id()] = *base::parse_cpu_list(mask);
        set.forked(parent, child);
        return host.mask(pid);
    };
    const auto to = GENERATE_REF(wide, free);
    REQUIRE(grouping::place(host.trees(), parts, people, log, {{parent.id()}, {to}}).result());
    CHECK(born(11, "1") == effective(to));
    CHECK(born(12, "1") == effective(to));
    SECTION("later, a narrow mask is the child's own wish") {
        host.now_ += std::chrono::seconds(2);
        CHECK(born(13, "1") == "1");
        CHECK(host.mask(10) == effective(to));
    }
    SECTION("and of others it is so at any time") {
        auto& other = host.start(20, in(wide));
        auto& child = host.start(21, in(wide), 20);
        host.masks_[child.id()] = *base::parse_cpu_list("2");
        set.forked(other, child);
        CHECK(host.mask(21) == "2");
    }
}

TEST_CASE_METHOD(Fixture, "between groups that ask for nothing a process keeps its own mask") {
    test::FakeLog log;
    grouping::Participant* parts[] = {&set};
    TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
    auto& process = host.start(10);
    host.masks_[process.id()] = *base::parse_cpu_list("3");
    CHECK(grouping::place(host.trees(), parts, people, log, {{process.id()}, {group("/free")}}).result());
    CHECK(host.mask(10) == "3");
    CHECK(host.affinity_calls_ == 0);
}

TEST_CASE_METHOD(Fixture, "what was asked outlives CPUs that go and come") {
    const auto a = group("/a");
    const auto b = group("/a/b");
    const auto c = group("/c");
    REQUIRE(put(a, cpus("2-3")));
    REQUIRE(put(b, cpus("3")));
    host.start(10, in(b));
    host.start(11, in(c));
    host.online_ = base::CpuList::up_to(3);
    set.refresh();
    CHECK(get(b, "cpus") == "3");
    CHECK(effective(b) == "2");  // the nearest ancestor that has any
    CHECK(host.mask(10) == "2");
    host.online_ = base::CpuList::up_to(2);
    set.refresh();
    CHECK(effective(a) == "0-1");
    CHECK(effective(b) == "0-1");
    host.online_ = base::CpuList::up_to(4);
    set.refresh();
    CHECK(effective(a) == "2-3");
    CHECK(host.mask(10) == "3");
    CHECK(host.mask(11) == "0-3");
}

TEST_CASE_METHOD(Fixture, "CPUs that go and come leave a member's own narrower mask alone") {
    const auto a = group("/a");
    REQUIRE(put(a, cpus("1-3")));
    const auto mask = [&](pid_t pid, const char* has) {
        host.masks_[host.start(pid, in(a)).id()] = *base::parse_cpu_list(has);
    };
    mask(10, "2");
    mask(11, "1-3");
    mask(12, "3");
    mask(13, "0-3");  // it had asked for 3, and the kernel has let it run anywhere since
    host.online_ = base::CpuList::up_to(3);
    set.refresh();
    CHECK(host.mask(10) == "2");
    CHECK(host.mask(11) == "1-2");
    CHECK(host.mask(12) == "1-2");
    CHECK(host.mask(13) == "1-2");
    host.online_ = base::CpuList::up_to(4);
    set.refresh();
    CHECK(host.mask(10) == "2");
    CHECK(host.mask(11) == "1-3");
    CHECK(host.mask(12) == "3");
    CHECK(host.mask(13) == "1-3");
}

TEST_CASE_METHOD(Fixture, "a CPU that is offline is taken from members, too") {
    const auto a = group("/a");
    const auto b = group("/b");
    REQUIRE(put(a, cpus("2-3")));
    REQUIRE(put(b, cpus("2-3")));
    const auto& stale = host.start(10, in(a));
    const auto& other = host.start(11, in(b));
    for (const auto* each : {&stale, &other}) {
        host.masks_[each->id()] = *base::parse_cpu_list("2-3");
    }
    host.online_ = base::CpuList::up_to(3);
    SECTION("when it goes") {
        set.refresh();
        CHECK(host.mask(10) == "2");
    }
    SECTION("by a later setting, though the group has no other CPUs by it") {
        set.refresh();
        host.masks_[stale.id()] = *base::parse_cpu_list("2-3");  // it was given them while that went on
        REQUIRE(put(a, cpus("2")));
        CHECK(host.mask(10) == "2");
    }
    SECTION("by the next one that comes, and by a successor of gpcsupd") {
        set.refresh();
        REQUIRE(put(a, cpus("2")));
        host.masks_[stale.id()] = *base::parse_cpu_list("2-3");
        if (GENERATE(true, false)) {
            host.online_ = base::CpuList::up_to(4);
            set.refresh();
            CHECK(host.mask(11) == "2-3");
        } else {
            set.recover();
        }
        CHECK(host.mask(10) == "2");
    }
}

TEST_CASE_METHOD(Fixture, "a member's own choice comes back with the CPUs of its group") {
    const auto a = group("/a");
    REQUIRE(put(a, cpus("1-3")));
    auto& process = host.start(10, in(a));
    const base::ThreadId main{process.id(), 10, process.start_time};
    const auto narrow = [&](const char* mask) { host.masks_[process.id()] = *base::parse_cpu_list(mask); };
    const auto after = [&](const char* list) {
        REQUIRE(put(a, cpus(list)));
        return host.mask(10);
    };
    narrow("2-3");
    SECTION("as far as the group has them") {
        CHECK(after("0-2") == "2");
        CHECK(after("0-1") == "0-1");  // nothing is left of it
        CHECK(after("3") == "3");
        CHECK(after("0-3") == "2-3");
        CHECK(after("") == "2-3");
    }
    SECTION("a newer one counts") {
        CHECK(after("0-2") == "2");
        narrow("0");
        CHECK(after("0-3") == "0");
    }
    SECTION(
        "what was told counts whole, also outside of the group and when the kernel has put it elsewhere") {
        narrow("3");
        set.affinity_asked(main, *base::parse_cpu_list("0,3"), *base::parse_cpu_list("3"));
        CHECK(after("0-3") == "0,3");
        CHECK(after("3") == "3");
        host.online_ = base::CpuList::up_to(3);
        narrow("0-3");
        set.refresh();
        CHECK(host.mask(10) == "0");
        host.online_ = base::CpuList::up_to(4);
        set.refresh();
        CHECK(host.mask(10) == "3");
    }
    SECTION("all CPUs are no choice") {
        set.affinity_asked(main, *base::parse_cpu_list("0-63"), *base::parse_cpu_list("1-3"));
        narrow("1-3");
        CHECK(after("1") == "1");
        CHECK(after("0-2") == "0-2");
    }
    SECTION("a child has its maker's, and nobody has that of a process that has ended") {
        CHECK(after("0-2") == "2");
        auto& child = host.start(20, in(a), 10);
        host.masks_[child.id()] = *base::parse_cpu_list("2");
        set.forked(process, child);
        set.exited(process);
        host.table_->erase(process);
        REQUIRE(put(a, cpus("0-3")));
        CHECK(host.mask(20) == "2-3");
    }
    SECTION("a move ends it") {
        CHECK(after("0-2") == "2");
        test::FakeLog log;
        grouping::Participant* parts[] = {&set};
        TablePopulation people(host.trees(), *host.table_, host.threads_, nullptr);
        const auto b = group("/b");
        REQUIRE(put(b, cpus("1-2")));
        REQUIRE(grouping::place(host.trees(), parts, people, log, {{process.id()}, {b}}).result());
        REQUIRE(put(b, cpus("0-3")));
        CHECK(host.mask(10) == "0-3");
    }
}

TEST_CASE_METHOD(Fixture, "birth and traps follow the chain") {
    const auto a = group("/a");
    const auto b = group("/a/b");
    grouping::Places places{};
    places[compute.value] = b;
    CHECK(set.birth(places).affinity.empty());
    CHECK(set.birth(places).traps.empty());
    REQUIRE(put(a, cpus("0,2")));
    const auto birth = set.birth(places);
    CHECK(base::CpuList::from_words(birth.affinity).format() == "0,2");
    CHECK(birth.traps == std::vector{wire::TrapClass::affinity});
    CHECK(set.required(places).front().controller == "cpuset");
    places[compute.value] = group("/c");
    CHECK(set.birth(places).traps.empty());
    CHECK(*set.traps(places, std::vector<std::string>{"cpuset"}) == std::vector{wire::TrapClass::affinity});
}

TEST_CASE_METHOD(Fixture, "a restart restores settings that the machine would refuse today") {
    const auto a = group("/a");
    host.online_ = base::CpuList::up_to(2);
    set.refresh();
    CHECK(set.restore_setting(a, {"cpuset.cpus", "3"}));
    CHECK(get(a, "cpus") == "3");
    CHECK(effective(a) == "0-1");
    SECTION("also when a member may not be changed") {
        host.start(10, in(a));
        host.forbidden_.insert(10);
        CHECK(set.restore_setting(a, {"cpuset.cpus", "0"}));
        CHECK(get(a, "cpus") == "0");
        CHECK(set.settings_of(a).front().value == "0");
    }
}

TEST_CASE_METHOD(Fixture, "a restart leaves every mask that is right alone") {
    const auto a = group("/a");
    const auto b = group("/a/b");
    const auto free = group("/free");
    REQUIRE(put(a, cpus("1-2")));
    REQUIRE(put(b, cpus("1")));
    const auto mask = [&](pid_t pid, GroupId in_group, const char* has) {
        host.masks_[host.start(pid, in(in_group)).id()] = *base::parse_cpu_list(has);
    };
    mask(10, a, "1-2");
    mask(11, a, "2");  // its own wish
    mask(12, b, "1");
    mask(13, a, "0-3");  // the predecessor was killed before it came to this one
    mask(14, free, "3");
    host.affinity_calls_ = 0;

    ControllerSet successor{host.trees(), host};
    REQUIRE(successor.adopt());
    for (const auto id : {a, b}) {
        for (const SettingText& setting : set.settings_of(id)) {
            REQUIRE(successor.restore_setting(id, setting));
        }
    }
    CHECK(host.affinity_calls_ == 0);
    successor.recover();
    CHECK(format_value(*successor.get(b, "cpuset.effective_cpus")) == "1");
    CHECK(host.affinity_calls_ == 1);
    CHECK(host.mask(10) == "1-2");
    CHECK(host.mask(11) == "2");
    CHECK(host.mask(12) == "1");
    CHECK(host.mask(13) == "1-2");
    CHECK(host.mask(14) == "3");
}

namespace {

// A process in /home with a thread that can be put into /away.
struct Threads : Fixture {
    GroupId home = group("/home");
    GroupId away = group("/away");
    GroupId third = group("/third");
    grouping::Participant* parts[1] = {&set};
    test::FakeLog log;
    TablePopulation people{host.trees(), *host.table_, host.threads_, nullptr};
    processes::Process& process = host.start(10, in(home));
    base::ThreadId thread = host.start_thread(10, 11);
    base::ThreadId other = host.start_thread(10, 12);

    base::Result<> move(std::vector<base::ThreadId> threads, GroupId to) {
        return grouping::place(host.trees(), parts, people, log,
                               {{}, {to}, grouping::Vanished::refuse, std::move(threads)})
            .result();
    }
    base::Result<> move_process(GroupId to) {
        return grouping::place(host.trees(), parts, people, log, {{process.id()}, {to}}).result();
    }
    std::string masks() { return host.mask(10) + " " + host.mask(thread) + " " + host.mask(other); }
};

}  // namespace

TEST_CASE_METHOD(Threads, "a thread apart has its own group's CPUs, its process the others") {
    REQUIRE(put(home, cpus("0-1")));
    REQUIRE(put(away, cpus("2-3")));
    REQUIRE(move({thread}, away));
    CHECK(masks() == "0-1 2-3 0-1");
    CHECK(host.trees().group(away)->populated == 1);
    CHECK(host.trees().group(away)->processes == 0);
    SECTION("a change of either group reaches its own") {
        REQUIRE(put(home, cpus("0")));
        CHECK(masks() == "0 2-3 0");
        REQUIRE(put(away, cpus("3")));
        CHECK(masks() == "0 3 0");
    }
    SECTION("and so does hotplug, which leaves a narrower mask alone") {
        host.online_ = base::CpuList::up_to(3);
        set.refresh();
        CHECK(masks() == "0-1 2 0-1");
        host.online_ = base::CpuList::up_to(4);
        set.refresh();
        CHECK(masks() == "0-1 2-3 0-1");
        host.thread_masks_[thread] = *base::parse_cpu_list("2");
        host.online_ = base::CpuList::up_to(3);
        set.refresh();
        host.online_ = base::CpuList::up_to(4);
        set.refresh();
        CHECK(masks() == "0-1 2 0-1");
    }
    SECTION("it comes home by itself, or with its process, and the book is empty") {
        if (GENERATE(true, false)) {
            REQUIRE(move({thread}, home));
            CHECK(masks() == "0-1 0-1 0-1");
        } else {
            REQUIRE(move_process(away));
            CHECK(masks() == "2-3 2-3 2-3");
        }
        CHECK(host.threads_.empty());
    }
    SECTION("also to where its process is already") {
        REQUIRE(move_process(home));
        CHECK(masks() == "0-1 0-1 0-1");
        CHECK(host.threads_.empty());
    }
    SECTION("a move of its process that fails leaves it") {
        host.forbidden_.insert(10);
        CHECK(move_process(GENERATE(true, false) ? third : away).error().code == EPERM);
        CHECK(masks() == "0-1 2-3 0-1");
        CHECK(host.threads_.size() == 1);
        CHECK(host.trees().group(away)->threads == 1);
    }
    SECTION("two threads: both, or none") {
        host.forbidden_.insert(12);
        CHECK(move({thread, other}, third).error().code == EPERM);
        CHECK(masks() == "0-1 2-3 0-1");
        CHECK(host.threads_.size() == 1);
    }
    SECTION("its group cannot be removed") {
        CHECK(set.remove_group(away).error().code == EBUSY);
        CHECK(set.remove_tree(away).error().code == EBUSY);
    }
    SECTION("a group of its own that is to go when it is empty goes with it") {
        host.trees().group(away)->auto_remove = true;
        CHECK(set.collect_empty().removed.empty());
        host.threads_.forget(thread);
        CHECK(set.collect_empty().removed.front().full_path == "compute:/away");
    }
}

TEST_CASE_METHOD(Threads, "what a thread apart starts is its process's, and gets that one's CPUs") {
    REQUIRE(put(away, cpus("2-3")));
    REQUIRE(move({thread}, away));
    CHECK(masks() == "0-3 2-3 0-3");
    const auto born = [&](pid_t tid, const char* mask) {
        const base::ThreadId fresh = host.start_thread(10, tid);
        host.thread_masks_[fresh] = *base::parse_cpu_list(mask);
        set.thread_started(process, fresh);
        return host.mask(fresh);
    };
    SECTION("threads") {
        CHECK(born(13, "2-3") == "0-3");  // as it has them from a thread apart
        CHECK(born(14, "3") == "3");      // nobody here has that: its own, or its maker's wish
        REQUIRE(put(home, cpus("0-1")));
        CHECK(born(15, "3") == "0-1");
        CHECK(host.mask(thread) == "2-3");
    }
    SECTION("threads of which only their number was told") {
        REQUIRE(put(home, cpus("0-1")));
        const base::ThreadId fresh = host.start_thread(10, 13);
        host.thread_masks_[fresh] = *base::parse_cpu_list("2-3");
        host.thread_masks_[other] = *base::parse_cpu_list("1");
        set.thread_started(process, std::nullopt);
        CHECK(host.mask(fresh) == "0-1");
        CHECK(masks() == "0-1 2-3 1");
    }
    SECTION("processes") {
        auto& child = host.start(20, in(home), 10);
        host.masks_[child.id()] = *base::parse_cpu_list("2-3");
        set.forked(process, child);
        CHECK(host.mask(20) == "0-3");
        host.masks_[child.id()] = *base::parse_cpu_list("3");
        set.forked(process, child);
        CHECK(host.mask(20) == "3");
    }
    SECTION("in a process without a thread apart a new thread keeps what it has") {
        REQUIRE(move({thread}, home));
        CHECK(born(13, "2-3") == "2-3");
    }
}

TEST_CASE_METHOD(Threads, "a restart leaves a thread apart its own group's CPUs") {
    REQUIRE(put(home, cpus("0-1")));
    REQUIRE(put(away, cpus("2-3")));
    REQUIRE(move({thread}, away));
    host.thread_masks_[thread] = *base::parse_cpu_list("1-2");  // it was cut off here
    ControllerSet successor{host.trees(), host};
    REQUIRE(successor.adopt());
    for (const auto id : {home, away}) {
        for (const SettingText& setting : set.settings_of(id)) {
            REQUIRE(successor.restore_setting(id, setting));
        }
    }
    successor.recover();
    CHECK(masks() == "0-1 2-3 0-1");
}

TEST_CASE("where a controller's figures are a process's, a thread is not moved apart") {
    test::FakeHost host{4};
    ControllerSet set{host.trees(), host};
    using Words = std::vector<std::string>;
    struct Row {
        Words controllers;
        const char* refuses;  // null: nobody
    };
    const std::vector<Row> rows{
        {{}, nullptr},
        {{"cpuset"}, nullptr},
        {{"cpuset", "cpuacct"}, "cpuacct"},
        {{"numtasks"}, "numtasks"},
        {{"freezer", "cpuset"}, "freezer"},
        {{"memory"}, "memory"},
        {{"rlimits"}, "rlimits"},
    };
    for (const Row& row : rows) {
        const auto hierarchy = *set.create_hierarchy("h", row.controllers);
        const auto target = *set.create_path(hierarchy, "/away");
        auto& process = host.start(10);
        const base::ThreadId thread = host.start_thread(10, 11);
        TablePopulation people{host.trees(), *host.table_, host.threads_, nullptr};
        test::FakeLog log;
        grouping::Participant* parts[] = {&set};
        const auto outcome = grouping::place(host.trees(), parts, people, log,
                                             {{}, {target}, grouping::Vanished::refuse, {thread}});
        CAPTURE(row.controllers);
        if (row.refuses == nullptr) {
            CHECK(outcome.result());
            CHECK(host.threads_.members(target) == std::vector<base::ThreadId>{thread});
            host.threads_.forget(thread);
        } else {
            REQUIRE(outcome.refusals.size() == 1);
            CHECK(outcome.refusals[0].error.code == EOPNOTSUPP);
            CHECK(outcome.refusals[0].error.message() ==
                  "hierarchy h has controller " + std::string(row.refuses) +
                      ", whose figures are a process's: a thread cannot be apart there; without --thread "
                      "the whole process is moved");
            CHECK(outcome.refusals[0].thread == thread);
            CHECK(host.threads_.empty());
            CHECK(log.trail_.empty());
        }
        host.thread_masks_.clear();
        host.table_->erase(process);
        REQUIRE(set.remove_group(target));
        REQUIRE(set.remove_hierarchy(hierarchy));
    }
}
