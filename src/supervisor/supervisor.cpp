#include "supervisor/supervisor.h"

#include <fmt/format.h>

#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "supervisor/declaration_json.h"
#include "supervisor/requests.h"
#include "supervisor/sockets.h"
#include "sys/memory.h"

namespace gpcsup::supervisor {

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

// --- boot
// ------------------------------------------------------------------------------------------------------------------

base::Result<> Supervisor::boot() {
    if (auto received = keeper_.receive_all(); !received) {
        return received;
    }
    if (auto opened = open_journal(); !opened) {
        return opened;
    }
    if (auto loaded = open_configuration(); !loaded) {
        return loaded;
    }
    if (auto restored = restore_everything(); !restored) {
        return restored;
    }
    if (auto opened = open_sockets(); !opened) {
        return opened;
    }
    if (auto told = keeper_.send(wire::KeepVerb::ready); !told) {
        return told;
    }
    serve();
    return {};
}

base::Result<> Supervisor::open_journal() {
    base::Fd kept = keeper_.take(wire::KeepClass::journal);
    const bool adopted = static_cast<bool>(kept);
    auto journal = adopted ? journal::Journal::adopt(std::move(kept)) : journal::Journal::create();
    if (!journal) {
        return base::pass(journal);
    }
    if (!adopted) {
        if (auto done = keeper_.keep(wire::KeepClass::journal, 0, "journal", journal->descriptor()); !done) {
            return done;
        }
    } else if (auto states = journal::fold(*journal)) {
        recorded_ = std::move(*states);
    }
    const std::uint64_t leftover = journal->leftover();
    chronicle_ = std::make_unique<Chronicle>(std::move(*journal), keeper_);
    if (leftover != 0) {
        chronicle_->note("journal-cut", {{"bytes", leftover}});
    }
    return {};
}

base::Result<> Supervisor::open_configuration() {
    const bool fresh = !recorded_.contains("started");
    auto loaded = fresh ? Configuration::load(here_) : Configuration::restore(recorded_);
    if (!loaded) {
        return base::pass(loaded);
    }
    configuration_ = std::move(*loaded);
    if (fresh) {
        for (const std::string& problem : configuration_.problems()) {
            fmt::print(stderr, "gpcsupd: {}\n", problem);
        }
        configuration_.record(*chronicle_);
    }
    chronicle_->add_rewriter([this](Chronicle& chronicle) {
        for (const std::string_view name : engine_->names()) {
            if (engine_->find(name)->origin == units::Origin::file && name != units::default_target) {
                chronicle.state("", "declared/" + std::string(name), to_json(*engine_->declaration(name)));
            }
        }
        configuration_.record_tree(chronicle);
    });
    return {};
}

base::Result<> Supervisor::restore_everything() {
    const bool fresh = !recorded_.contains("started");
    census_ = std::make_unique<Census>(*loop_, keeper_, forest_, static_cast<CensusNews&>(*this));
    host_ = std::make_unique<MachineHost>(forest_, *census_);
    online_ = host_->online_cpus();
    controllers_ = std::make_unique<controllers::ControllerSet>(forest_, *host_);
    groups_ = std::make_unique<Groups>(forest_, *controllers_, *chronicle_);
    rules_.take(configuration_.rules());
    placing_ = std::make_unique<Placing>(forest_, *groups_, rules_, *chronicle_);
    placing_->restore(recorded_);
    if (auto restored = groups_->restore_forest(recorded_); !restored) {
        return restored;
    }
    groups_->on_hierarchy_created([this](grouping::HierarchyId hierarchy) {
        census_->table().for_each([hierarchy](processes::Process& process) {
            process.placed_by[hierarchy.value] = grouping::placed_by_nobody;
        });
    });
    if (auto opened = census_->open(here_.init_pid); !opened) {
        return opened;
    }
    enforcer_ = std::make_unique<Enforcer>(*loop_, keeper_, *census_, forest_, *chronicle_);
    host_->set_enforcer(*enforcer_);
    if (auto opened = enforcer_->open(); !opened) {
        return opened;
    }
    base::Fd kept_slots = keeper_.take(wire::KeepClass::start_slots);
    const bool adopted = static_cast<bool>(kept_slots);
    auto slots = adopted ? launch::StartSlots::adopt(std::move(kept_slots)) : launch::StartSlots::create();
    if (!slots) {
        return base::pass(slots);
    }
    if (!adopted) {
        if (auto kept = keeper_.keep(wire::KeepClass::start_slots, 0, "start slots", (*slots)->descriptor());
            !kept) {
            return kept;
        }
    }
    engine_ = std::make_unique<units::Engine>(configuration_.take_graph());
    kills_ = std::make_unique<Kills>(*loop_, *census_, forest_, *chronicle_);
    services_ = std::make_unique<Services>(
        Services::Parts{here_, *loop_, keeper_, *census_, *enforcer_, forest_, *groups_, *controllers_,
                        *placing_, *chronicle_, *engine_, *kills_},
        std::move(*slots));
    jobs_ = std::make_unique<Jobs>(*chronicle_, *services_);
    services_->set_jobs(*jobs_);
    population_ = std::make_unique<controllers::TablePopulation>(
        forest_, census_->table(),
        [this](processes::Process& process) { census_->ledger().before_move(process); },
        [this](processes::Process& process) { freezing_->moved(process); });
    classifier_ = std::make_unique<Classifier>(
        Classifier::Parts{rules_, *loop_, *census_, forest_, *groups_, *placing_, *population_, *enforcer_,
                          *services_, *chronicle_, here_.program(wire::exec_program)});
    if (auto opened = classifier_->open(); !opened) {
        return opened;
    }
    applying_ = std::make_unique<Applying>(Applying::Parts{
        here_, configuration_, forest_, *controllers_, *groups_, rules_, *engine_, *services_, *chronicle_});
    applying_->adopt(recorded_);
    views_ = std::make_unique<Views>(Views::Sources{here_, *engine_, forest_, *controllers_, census_->table(),
                                                    census_->files(), *placing_, *chronicle_, rules_,
                                                    static_cast<LiveFacts&>(*this)});
    if (auto opened = services_->open(); !opened) {
        return opened;
    }
    if (auto opened = open_group_parts(); !opened) {
        return opened;
    }
    removals_ = std::make_unique<Removals>(*loop_, forest_, *groups_, [this](GroupId group) {
        kills_->start(group, std::chrono::seconds(9), Kills::Asked::by_client);
    });
    if (auto opened = removals_->open(); !opened) {
        return opened;
    }
    groups_->on_removed([this] { groups_changed_ = true; });
    host_->on_hold_dropped([this] { groups_changed_ = true; });
    forest_.set_member_lister([this](GroupId group, std::size_t most) {
        std::vector<int> pids;
        census_->table().for_each_member_below(group, [&](processes::Process& process) {
            if (pids.size() < most) {
                pids.push_back(process.pid);
            }
        });
        return pids;
    });
    if (auto settings = groups_->restore_settings(recorded_); !settings) {
        return settings;
    }
    if (fresh) {
        if (auto declared = declare_groups(); !declared) {
            return declared;
        }
    }
    jobs_->restore(recorded_);
    services_->restore_units(recorded_);
    services_->adopt_starts();
    // What was told meanwhile comes first: it knows the parents of those whom the comparison would find
    // orphaned.
    census_->drain_tracker();
    census_->fold_exits();
    if (auto done = census_->resync(); !done) {
        return done;
    }
    groups_->settle_placements(recorded_, *population_);
    services_->place_domains();
    classifier_->resume();
    enforcer_->retire_unclaimed();
    if (auto watching = census_->watch(); !watching) {
        return watching;
    }
    auto allowed = [this](const processes::Process& target) {
        const grouping::Hierarchy* hierarchy = forest_.find_hierarchy("cpuset");
        if (hierarchy != nullptr) {
            auto value =
                controllers_->get(census_->table().place(target, hierarchy->id), "cpuset.effective_cpus");
            if (value && std::holds_alternative<std::string>(*value)) {
                if (auto cpus = base::parse_cpu_list(std::get<std::string>(*value))) {
                    return *cpus;
                }
            }
        }
        return host_->online_cpus();
    };
    if (auto watching = enforcer_->watch(here_.program(wire::reader_program), allowed); !watching) {
        return watching;
    }
    services_->on_quiet([this] {
        if (ending_) {
            end_after(*ending_);
        }
    });
    if (const auto started = recorded_.find("started"); started != recorded_.end()) {
        views_->set_start_time(started->second.realtime_ns);
        if (const Json body = Json::parse(started->second.body, nullptr, false);
            body.is_object() && body.contains("ending")) {
            ending_ = static_cast<wire::StopHow>(body["ending"].get<int>());
        }
    }
    if (ending_) {
        engine_->stop_all(
            units::TimePoint(std::chrono::nanoseconds(monotonic_now_ns())));  // the predecessor had begun to
    }
    services_->finish_recovery();
    recover_groups();
    applying_->resume(recorded_);
    if (fresh) {
        views_->set_start_time(realtime_now_ns());
        chronicle_->state("supervisor-started", "started",
                          {{"version", GPCSUP_VERSION}, {"init_pid", here_.init_pid}});
    } else {
        chronicle_->note("supervisor-replaced", {{"generation", here_.generation}, {"pid", getpid()}});
    }
    return {};
}

base::Result<> Supervisor::declare_groups() {
    for (const grouping::DeclaredHierarchy& declared : configuration_.hierarchies()) {
        auto hierarchy = groups_->create_hierarchy(declared.name, declared.controllers);
        if (!hierarchy) {
            configuration_.add_problem(declared.location + ": " + hierarchy.error().message());
            continue;
        }
        for (const grouping::DeclaredGroup& group : declared.groups) {
            auto made = group.path == "/"
                            ? base::Result<GroupId>(forest_.hierarchy(*hierarchy)->root)
                            : groups_->create(declared.name + ":" + group.path, Groups::Parents::made);
            if (!made) {
                configuration_.add_problem(group.location + ": " + made.error().message());
                continue;
            }
            if (auto set = groups_->set(*made, texts_of(group.settings)); !group.settings.empty() && !set) {
                configuration_.add_problem(group.location + ": " + set.error().message());
            }
        }
    }
    configuration_.record_problems(*chronicle_);
    return {};
}

base::Result<> Supervisor::open_sockets() {
    control_socket_ = keeper_.take(wire::KeepClass::control_socket);
    if (!control_socket_) {
        auto made = listen_for_control(here_.runtime);
        if (!made) {
            return base::pass(made);
        }
        control_socket_ = std::move(*made);
        if (auto kept = keeper_.keep(wire::KeepClass::control_socket, 0, "control", control_socket_.get());
            !kept) {
            return kept;
        }
    }
    notify_socket_ = keeper_.take(wire::KeepClass::notify_socket);
    if (!notify_socket_) {
        auto made = listen_for_notify(here_.runtime);
        if (!made) {
            return base::pass(made);
        }
        notify_socket_ = std::move(*made);
        if (auto prepared = launch::prepare_notify_socket(notify_socket_.get()); !prepared) {
            return prepared;
        }
        if (auto kept = keeper_.keep(wire::KeepClass::notify_socket, 0, "notify", notify_socket_.get());
            !kept) {
            return kept;
        }
    }
    auto notify = loop_->on_readable(notify_socket_.get(), EventLoop::Priority::processes,
                                     [this] { services_->receive_notifications(notify_socket_.get()); });
    auto keeper =
        loop_->on_readable(keeper_.descriptor(), EventLoop::Priority::keeper, [this] { hear_keeper(); });
    if (!notify || !keeper) {
        return base::fail(ENOMEM, "watch", "the sockets");
    }
    notify_watch_ = std::move(*notify);
    auto tidy = loop_->on_idle([this] { tidy_groups(); });
    if (!tidy) {
        return base::pass(tidy);
    }
    tidy_watch_ = std::move(*tidy);
    keeper_watch_ = std::move(*keeper);
    requests_ = std::make_unique<Requests>(*this);
    static_cast<Requests&>(*requests_).adopt_owners(recorded_);
    recorded_.clear();
    server_ = std::make_unique<control::Server>(loop_->handle(), control_socket_.get(), *requests_);
    chronicle_->on_event([this](const std::string& line) { server_->emit(line); });
    return server_->start();
}

void Supervisor::serve() {
    if (engine_->find(units::default_target)->wished || ending_) {
        // A predecessor has booted already.
    } else if (auto wished = engine_->wish_start(
                   units::default_target, units::TimePoint(std::chrono::nanoseconds(monotonic_now_ns())));
               !wished) {
        fmt::print(stderr, "gpcsupd: {}\n", wished.error().message());
    }
    services_->settle();
    census_->take_news();
    enforcer_->take_requests();  // what was parked while nobody was here
    if (here_.generation == 1) {
        (void)sd_notify(0, "READY=1");  // for a supervisor above us; without NOTIFY_SOCKET it does nothing
    }
    sys::give_back_memory();  // what parsing needed is not needed again
}

// --- gpc-init
// --------------------------------------------------------------------------------------------------------------

void Supervisor::hear_keeper() {
    while (true) {
        auto arrival = keeper_.receive();
        if (!arrival) {
            init_has_gone();
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

// At gpc-init's heartbeat, which comes anyway: the kernel tells of CPUs to nobody without privileges.
void Supervisor::look_at_cpus() {
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
    exit_status_ = 70;
    loop_->stop();
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

std::vector<std::string> Supervisor::warnings() {
    std::vector<std::string> list = configuration_.problems();
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
