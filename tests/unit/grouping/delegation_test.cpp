#include "grouping/delegation.h"
#include "grouping/forest_paths.h"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace gpcsup;
using gpcsup::tests::make_path;
using namespace gpcsup::grouping;

namespace {

struct Fixture {
    Forest forest;
    HierarchyId tenant = *forest.create_hierarchy("tenant", {});
    GroupId top = *make_path(forest, tenant, "/acme/top");
    GroupId below = *make_path(forest, tenant, "/acme/top/a/b");
    GroupId beside = *make_path(forest, tenant, "/acme/other");
    static constexpr std::uint32_t owner = 1000;
    Fixture() { forest.group(top)->owner = owner; }

    std::string may(std::uint32_t uid, GroupId group) {
        std::string acts;
        for (const auto& [what, letter] :
             {std::pair(Manage::create, 'c'), std::pair(Manage::remove, 'r'), std::pair(Manage::rename, 'n'),
              std::pair(Manage::set_limit, 'l'), std::pair(Manage::set_flag, 'f'),
              std::pair(Manage::set_owner, 'o'), std::pair(Manage::attach, 'a'),
              std::pair(Manage::signal, 's'), std::pair(Manage::freeze, 'z')}) {
            acts += may_manage(forest, uid, group, what) ? letter : '-';
        }
        return acts;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a delegated subtree is its owner's, its top only within") {
    CHECK(may(owner, below) == "crnlf-asz");
    CHECK(may(owner, top) == "c---f-asz");
    CHECK(may(owner, beside) == "---------");
    CHECK(may(owner, forest.group(top)->parent) == "---------");
    CHECK(may(owner, forest.hierarchy(tenant)->root) == "---------");
    CHECK(may(1001, below) == "---------");
}

TEST_CASE_METHOD(Fixture,
                 "a group that the owner made and owns is his whole, a stranger's part below it is both's") {
    forest.group(below)->owner = owner;
    CHECK(may(owner, below) == "crnlf-asz");
    forest.group(below)->owner = 1001;
    CHECK(may(1001, below) == "c---f-asz");
    CHECK(may(owner, below) == "crnlf-asz");
}

TEST_CASE_METHOD(Fixture, "a root of a hierarchy can be delegated") {
    forest.group(forest.hierarchy(tenant)->root)->owner = 1002;
    CHECK(may(1002, forest.hierarchy(tenant)->root) == "c---f-asz");
    CHECK(may(1002, beside) == "crnlf-asz");
}

TEST_CASE_METHOD(Fixture, "refusals say whose it is") {
    const auto message = [&](std::uint32_t uid, GroupId group, Manage what) {
        const auto refused = may_manage(forest, uid, group, what);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == EACCES);
        return refused.error().message();
    };
    CHECK(
        message(owner, top, Manage::remove) ==
        "uid 1000 may not remove tenant:/acme/top; it is the top of what is delegated to that user; below it "
        "he may");
    CHECK(message(7, top, Manage::create) ==
          "uid 7 may not create groups in tenant:/acme/top; it is delegated to uid 1000");
    CHECK(
        message(7, beside, Manage::set_limit) ==
        "uid 7 may not set limits of tenant:/acme/other; it is not delegated to that user, see group.owner");
    CHECK(
        message(owner, below, Manage::set_owner) ==
        "uid 1000 may not change the owner of tenant:/acme/top/a/b; only root and the supervisor's own user "
        "may");
    CHECK(may_manage(forest, owner, GroupId{999}, Manage::create).error().code == ENOENT);
}
