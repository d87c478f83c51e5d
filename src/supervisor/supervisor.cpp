#include "supervisor/supervisor.h"

#include <fmt/format.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "supervisor/requests.h"
#include "sys/hotplug.h"

namespace gpcsup::supervisor {

namespace {

constexpr int init_gone_status = 70;

}  // namespace

using grouping::GroupId;

Supervisor::Supervisor(Surroundings here, std::unique_ptr<EventLoop> loop)
    : here_(std::move(here)), loop_(std::move(loop)), keeper_(base::Fd(here_.keeper_fd)) {}

Supervisor::~Supervisor() = default;

base::Result<std::unique_ptr<Supervisor>> Supervisor::create(Surroundings here) {
    auto loop = EventLoop::create();
    if (!loop) {
        return base::pass(loop);
    }
    return std::unique_ptr<Supervisor>(new Supervisor(std::move(here), std::move(*loop)));
}

// --- gpc-init
// --------------------------------------------------------------------------------------------------------------

void Supervisor::hear_keeper() {
    while (true) {
        auto arrival = keeper_.receive();
        if (!arrival && KeeperLink::means_gone(arrival.error())) {
            init_has_gone();
            return;
        }
        if (!arrival) {  // gpc-init lives and starts a successor, which may be of the version that it speaks
            fmt::print(stderr, "gpcsupd: {}\n", arrival.error().message());
            exit_status_ = 1;
            loop_->stop();
            return;
        }
        if (!*arrival) {
            return;
        }
        on_keeper_message((*arrival)->message);
    }
}

void Supervisor::on_keeper_message(const wire::KeepMessage& message) {
    switch (message.verb) {
        case wire::KeepVerb::exited:
            census_->take_news();
            (void)keeper_.send(wire::KeepVerb::drained);
            return;
        case wire::KeepVerb::ping:
            (void)keeper_.send(wire::KeepVerb::pong, message.argument);
            look_at_cpus();
            return;
        case wire::KeepVerb::signal:
            if (message.argument == SIGTERM || message.argument == SIGINT || message.argument == SIGPWR) {
                const bool machine = here_.mode == Mode::init;
                const wire::StopHow how = !machine                     ? wire::StopHow::exit
                                          : message.argument == SIGINT ? wire::StopHow::reboot
                                                                       : wire::StopHow::poweroff;
                static_cast<Requests&>(*requests_).stop_everything(how);
            }
            return;
        default:
            return;
    }
}

// The kernel tells of CPUs at once, but not in every namespace: therefore also at gpc-init's heartbeat, which
// comes anyway.
void Supervisor::watch_hotplug() {
    auto socket = sys::open_hotplug();
    if (!socket) {
        return;
    }
    auto watch = loop_->on_readable(socket->get(), EventLoop::Priority::processes, [this] {
        if (sys::take_hotplug(hotplug_.get())) {
            look_at_cpus();
        }
    });
    if (watch) {
        hotplug_ = std::move(*socket);
        hotplug_watch_ = std::move(*watch);
        look_at_cpus();  // what came before there was a socket to hear it
    }
}

void Supervisor::look_at_cpus() {
    base::CpuList nodes = host_->online_nodes();
    if (nodes != online_nodes_) {
        online_nodes_ = std::move(nodes);
        controllers_->refresh();
        chronicle_->note("nodes-changed", {{"online", online_nodes_.format()}});
    }
    base::CpuList online = host_->online_cpus();
    if (online == online_) {
        return;
    }
    online_ = std::move(online);
    controllers_->refresh();
    chronicle_->note("cpus-changed", {{"online", online_.format()}});
}

void Supervisor::end_after(wire::StopHow how) {
    chronicle_->note("stopped", {{"how", static_cast<int>(how)}});
    server_->flush();
    services_->close_logs();
    (void)keeper_.send(wire::KeepVerb::stop, static_cast<std::uint64_t>(how));
}

// Nobody reaps and nobody holds the listeners any more: everything is ended, within five seconds, and we too.
void Supervisor::init_has_gone() {
    fmt::print(stderr, "gpcsupd: gpc-init has gone: every service is killed\n");
    const std::uint64_t deadline = monotonic_now_ns() + 5'000'000'000;
    const GroupId root = forest_.hierarchy(Placing::unit_hierarchy)->root;
    auto kill = census_->group_kill(root, std::chrono::seconds(4));
    for (auto status = kill.step(); !status.over() && monotonic_now_ns() < deadline; status = kill.step()) {
        const timespec pause{0, static_cast<long>(std::min<std::int64_t>(status.again.count(), 50'000'000))};
        nanosleep(&pause, nullptr);
        census_->drain_tracker();
    }
    exit_status_ = init_gone_status;
    loop_->stop();
}

// gpc-init, where it lives, starts a successor. Where it has gone meanwhile nobody else is left to end the
// services.
int Supervisor::give_up() {
    if (getppid() == here_.init_pid || census_ == nullptr || !census_->is_open()) {
        return 1;
    }
    if (services_ && classifier_ && grafts_ && freezing_ && views_ && removals_) {
        census_->drain_tracker();
        init_has_gone();
        return exit_status_;
    }
    // Nobody is there yet to whom news could be told: whoever is known is killed. Whom they have forked since
    // is not found.
    census_->table().for_each([this](const processes::Process& process) {
        if (!process.has(processes::process_dead)) {
            (void)census_->signals().send(process.id(), SIGKILL);
        }
    });
    return init_gone_status;
}

int Supervisor::run() {
    if (auto ended = loop_->run(); !ended) {
        fmt::print(stderr, "gpcsupd: {}\n", ended.error().message());
        return 1;
    }
    return exit_status_;
}

std::string Supervisor::state_word() {
    if (ending_) {
        return "stopping";
    }
    bool starting = false;
    for (const std::string_view name : engine_->names()) {
        const units::State state = engine_->find(name)->state;
        if (state == units::State::failed) {
            return "degraded";
        }
        starting = starting || state == units::State::starting;
    }
    return starting ? "starting" : "running";
}

std::vector<std::string> Supervisor::warnings(units::Audience audience) {
    std::vector<std::string> list = configuration_.problems();
    if (audience == units::Audience::everybody && !list.empty()) {  // they quote the files
        list = {"there are mistakes in the configuration; `gpcsup check` says which"};
    }
    if (!rules_.empty() && census_->quality() == processes::TrackingQuality::sampled) {
        list.emplace_back("rules: with sampled tracking only what gpcsup starts is placed by rules");
    }
    if (std::FILE* file = std::fopen((here_.runtime + "/logd.status").c_str(), "re")) {
        char line[512];
        while (std::fgets(line, sizeof line, file) != nullptr && list.size() < 100) {
            std::string text(line);
            while (text.ends_with('\n')) {
                text.pop_back();
            }
            list.push_back("log: " + text);
        }
        (void)std::fclose(file);
    }
    return list;
}

}  // namespace gpcsup::supervisor
