// Who gets a connection when many are open.

#include "control/admission.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace gpcsup::control;

namespace {

constexpr uid_t own = 1000;

// As many as this user gets, one after the other; how many that were.
std::size_t fill(std::vector<uid_t>& held, uid_t user) {
    std::size_t got = 0;
    while (admit(held, user, own) == Admission::granted) {
        held.push_back(user);
        ++got;
    }
    return got;
}

}  // namespace

TEST_CASE("one user without privileges gets a part of the connections") {
    std::vector<uid_t> held;
    CHECK(fill(held, 65534) == max_of_one_user);
    CHECK(fill(held, 65533) == max_of_one_user);
}

TEST_CASE("all users without privileges together leave places for root and the own user") {
    std::vector<uid_t> held;
    for (uid_t user = 2000; user < 2100; ++user) {
        fill(held, user);
    }
    CHECK(held.size() == max_connections - kept_for_privileged);
    CHECK(admit(held, 0, own) == Admission::granted);
    CHECK(fill(held, own) == kept_for_privileged);
    CHECK(admit(held, 0, own) == Admission::refused);
}

TEST_CASE("the own user may have them all") {
    std::vector<uid_t> held;
    CHECK(fill(held, own) == max_connections);
}
