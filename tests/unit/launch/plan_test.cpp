#include "launch/plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>

namespace launch = gpcsup::launch;
namespace wire = gpcsup::wire;

namespace {

wire::LaunchPlan header_of(const std::vector<std::byte>& blob) {
    wire::LaunchPlan plan;
    REQUIRE(blob.size() >= sizeof(plan));
    std::memcpy(&plan, blob.data(), sizeof(plan));
    return plan;
}

std::vector<std::string> strings_at(const std::vector<std::byte>& blob, const wire::PlanSpan& span) {
    std::vector<std::string> texts;
    const char* at = reinterpret_cast<const char*>(blob.data()) + span.offset;
    for (std::uint32_t i = 0; i < span.count; ++i) {
        texts.emplace_back(at);
        at += texts.back().size() + 1;
        REQUIRE(at <= reinterpret_cast<const char*>(blob.data() + blob.size()));
    }
    return texts;
}

template <class T>
std::vector<T> array_at(const std::vector<std::byte>& blob, const wire::PlanSpan& span) {
    REQUIRE(span.offset % sizeof(T) == 0);
    REQUIRE(span.offset + span.count * sizeof(T) <= blob.size());
    std::vector<T> elements(span.count);
    std::memcpy(elements.data(), blob.data() + span.offset, span.count * sizeof(T));
    return elements;
}

launch::LaunchRequest small_request() {
    launch::LaunchRequest request;
    request.executable = "/bin/true";
    request.arguments = {"true"};
    return request;
}

}  // namespace

TEST_CASE("everything asked for is in the blob") {
    launch::LaunchRequest request = small_request();
    request.arguments = {"true", "", "three words here"};
    request.environment = {"A=1", "B="};
    request.directory = "/tmp";
    request.user = "nobody";
    request.group = "nogroup";
    request.names_helper = "/usr/libexec/gpc-names";
    request.supplementary = std::vector<std::uint32_t>{4, 5, 6};
    request.nice = -3;
    request.umask = 027;
    request.limits = {{7, 0, 64, 128}};
    request.affinity = {5, 1};
    request.memory_mode = 2;
    request.memory_nodes = {1};
    request.filter = std::make_shared<const std::vector<sock_filter>>(3, sock_filter{6, 0, 0, 42});
    request.listener_key = 99;
    request.handover = 40;
    request.standard_output = 41;
    request.passed = {50, 51};
    request.terminal = launch::Terminal::controlling;
    request.privileges = launch::Privileges::no_new;
    request.session = launch::Session::keep;
    request.init_pid = 17;

    const auto blob = launch::serialise(request, {12, 30, 31});
    REQUIRE(blob.has_value());
    const wire::LaunchPlan plan = header_of(*blob);
    CHECK(plan.magic == wire::launch_plan_magic);
    CHECK(plan.version == wire::launch_plan_version);
    CHECK(plan.size == blob->size());
    CHECK(plan.flags == (wire::plan_terminal | wire::plan_no_new_privileges | wire::plan_keep_session));
    CHECK(plan.slot == 12);
    CHECK(plan.slots_fd == 30);
    CHECK(plan.status_fd == 31);
    CHECK(plan.handover_fd == 40);
    CHECK(plan.stdin_fd == -1);
    CHECK(plan.stdout_fd == 41);
    CHECK(plan.init_pid == 17);
    CHECK(plan.nice == -3);
    CHECK(plan.umask == 027);
    CHECK(plan.uid == wire::no_id);
    CHECK(plan.memory_mode == 2);
    CHECK(plan.listener_key == 99);
    CHECK(strings_at(*blob, plan.executable) == std::vector<std::string>{"/bin/true"});
    CHECK(strings_at(*blob, plan.arguments) == request.arguments);
    CHECK(strings_at(*blob, plan.environment) == request.environment);
    CHECK(strings_at(*blob, plan.directory) == std::vector<std::string>{"/tmp"});
    CHECK(strings_at(*blob, plan.user_name) == std::vector<std::string>{"nobody"});
    CHECK(strings_at(*blob, plan.group_name) == std::vector<std::string>{"nogroup"});
    CHECK(strings_at(*blob, plan.names_helper) == std::vector<std::string>{"/usr/libexec/gpc-names"});
    CHECK(array_at<std::uint32_t>(*blob, plan.supplementary) == *request.supplementary);
    CHECK(array_at<std::uint64_t>(*blob, plan.affinity) == request.affinity);
    CHECK(array_at<std::uint64_t>(*blob, plan.memory_nodes) == request.memory_nodes);
    CHECK(array_at<std::int32_t>(*blob, plan.passed_fds) == request.passed);
    const auto limits =
        array_at<wire::PlanLimit>(*blob, wire::PlanSpan{plan.limits.offset, plan.limits.count});
    REQUIRE(limits.size() == 1);
    CHECK(limits[0].soft == 64);
    CHECK(limits[0].hard == 128);
    const auto filter = array_at<sock_filter>(*blob, plan.filter);
    REQUIRE(filter.size() == 3);
    CHECK(filter[2].k == 42);
}

TEST_CASE("what is not asked for is absent, and an empty group list is not") {
    launch::LaunchRequest request = small_request();
    wire::LaunchPlan plan = header_of(launch::serialise(request, {}).value());
    CHECK(plan.directory.offset == 0);
    CHECK(plan.filter.offset == 0);
    CHECK(plan.supplementary.offset == 0);
    CHECK(plan.handover_fd == -1);
    request.supplementary.emplace();
    plan = header_of(launch::serialise(request, {}).value());
    CHECK(plan.supplementary.offset != 0);
    CHECK(plan.supplementary.count == 0);
}

TEST_CASE("a request that cannot be served is refused before anything starts") {
    launch::LaunchRequest request = small_request();
    request.executable = "true";
    CHECK(launch::serialise(request, {}).error().code == EINVAL);
    request = small_request();
    request.arguments.clear();
    CHECK(launch::serialise(request, {}).error().code == EINVAL);
    request = small_request();
    request.environment = {std::string("A=1\0B=2", 7)};
    CHECK(launch::serialise(request, {}).error().code == EINVAL);
    request = small_request();
    request.filter = std::make_shared<const std::vector<sock_filter>>(1);
    CHECK(launch::serialise(request, {}).error().code == EINVAL);
}

TEST_CASE("a sealed plan cannot be changed") {
    const auto blob = launch::serialise(small_request(), {}).value();
    const auto memfd = launch::seal(blob);
    REQUIRE(memfd.has_value());
    struct stat status {};
    REQUIRE(fstat(memfd->get(), &status) == 0);
    CHECK(static_cast<std::size_t>(status.st_size) == blob.size());
    const char byte = 0;
    CHECK(pwrite(memfd->get(), &byte, 1, 0) < 0);
    CHECK(errno == EPERM);
    CHECK(ftruncate(memfd->get(), 0) < 0);
}

TEST_CASE("only what the plan names is inherited") {
    launch::LaunchRequest request = small_request();
    request.handover = 40;  // without a filter it stays here
    request.standard_error = 41;
    request.passed = {50};
    CHECK(launch::inherited(request, {0, 30, 31}) == std::vector<int>{30, 31, 41, 50});
    request.standard_output = 41;  // the same twice goes once
    CHECK(launch::inherited(request, {0, 30, 31}) == std::vector<int>{30, 31, 41, 50});
}

TEST_CASE("what goes through a lane has the lane's numbers in the plan") {
    launch::LaunchRequest request = small_request();
    request.standard_output = request.standard_error = 41;
    request.passed = {50, 29};
    launch::LaunchTicket ticket{0, 30, 31, 8};  // inherited are 29, 30, 31, 41, 50
    const auto blob = launch::serialise(request, ticket).value();
    const wire::LaunchPlan plan = header_of(blob);
    CHECK(plan.slots_fd == 9);
    CHECK(plan.status_fd == 10);
    CHECK(plan.stdin_fd == -1);
    CHECK(plan.stdout_fd == 11);
    CHECK(plan.stderr_fd == 11);
    CHECK(plan.handover_fd == -1);
    std::int32_t passed[2] = {};
    REQUIRE(plan.passed_fds.count == 2);
    std::memcpy(passed, blob.data() + plan.passed_fds.offset, sizeof(passed));
    CHECK(passed[0] == 12);
    CHECK(passed[1] == 8);
}
