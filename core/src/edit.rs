//! One change of a running configuration, as a pure function.

use crate::api::Edit;
use crate::config::{Backend, Config, Endpoint, Service};

/// Why an edit does not fit the running configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such service.
    #[error("there is no service `{name}`{hint}")]
    NoService {
        /// The name.
        name: String,
        /// What was perhaps meant.
        hint: String,
    },
    /// The service has no such backend.
    #[error("service `{service}` has no backend {backend}{hint}")]
    NoBackend {
        /// The service.
        service: String,
        /// The backend.
        backend: Endpoint,
        /// Which backends it has.
        hint: String,
    },
    /// The service is there already.
    #[error("there is a service `{0}` already")]
    ServiceExists(String),
    /// The backend is there already.
    #[error("service `{0}` has a backend {1} already")]
    BackendExists(String, Endpoint),
}

/// Applies an edit and gives the configuration that should run then. It is still to be checked.
pub fn edit(config: &Config, edit: &Edit) -> Result<Config, EditError> {
    let mut config = config.clone();
    match edit {
        Edit::AddService { service } if config.service(&service.name).is_some() => {
            return Err(EditError::ServiceExists(service.name.clone()));
        }
        Edit::AddService { service } => config.services.push(Service::clone(service)),
        Edit::RemoveService { service, .. } => {
            find_service(&mut config, service)?;
            config.services.retain(|it| it.name != *service);
        }
        Edit::AddBackend { service, backend } => {
            let service = find_service(&mut config, service)?;
            if service.backends.iter().any(|it| it.address == backend.address) {
                return Err(EditError::BackendExists(service.name.clone(), backend.address));
            }
            service.backends.push(backend.clone());
        }
        Edit::RemoveBackend { service, backend, .. } => {
            find_backend(&mut config, service, *backend)?;
            let service = find_service(&mut config, service)?;
            service.backends.retain(|it| it.address != *backend);
            // A pin to nobody would be a fault, and could be taken out by no command.
            service.pins.retain(|it| it.backend != *backend);
        }
        Edit::SetWeight {
            service,
            backend,
            weight,
        } => {
            find_backend(&mut config, service, *backend)?.weight = *weight;
        }
        Edit::Drain {
            service,
            backend,
            drain,
        } => {
            find_backend(&mut config, service, *backend)?.drain = *drain;
        }
    }
    Ok(config)
}

fn find_service<'a>(config: &'a mut Config, name: &str) -> Result<&'a mut Service, EditError> {
    let nearest = config
        .services
        .iter()
        .map(|service| (strsim::jaro_winkler(&service.name, name), &service.name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = nearest.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"));
    let missing = EditError::NoService {
        name: name.to_owned(),
        hint,
    };
    config
        .services
        .iter_mut()
        .find(|service| service.name == name)
        .ok_or(missing)
}

fn find_backend<'a>(
    config: &'a mut Config,
    service: &str,
    backend: Endpoint,
) -> Result<&'a mut Backend, EditError> {
    let service = find_service(config, service)?;
    let present: Vec<_> = service.backends.iter().map(|it| it.address.to_string()).collect();
    let hint = match present.as_slice() {
        [] => "; it has none".to_owned(),
        some => format!("; it has {}", some.join(", ")),
    };
    let missing = EditError::NoBackend {
        service: service.name.clone(),
        backend,
        hint,
    };
    service
        .backends
        .iter_mut()
        .find(|it| it.address == backend)
        .ok_or(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{check, read};

    #[test]
    fn a_backend_that_goes_takes_its_pins_along() {
        let config = read(
            r#"
            [[service]]
            name = "web"
            listen = ["tcp://10.0.0.100:80"]
            pins = [
                { client = "10.8.0.0/16", backend = "10.1.0.11" },
                { client = "10.9.0.0/16", backend = "10.1.0.12" },
            ]
            backend = [{ address = "10.1.0.11" }, { address = "10.1.0.12" }]
            "#,
        )
        .expect("a right file");
        let remove = Edit::RemoveBackend {
            service: "web".to_owned(),
            backend: "10.1.0.11".parse().expect("an address"),
            cut: false,
        };
        let after = edit(&config, &remove).expect("the backend is there");
        assert_eq!(after.services[0].pins, config.services[0].pins[1..]);
        assert_eq!(check(&after), []);
    }
}
