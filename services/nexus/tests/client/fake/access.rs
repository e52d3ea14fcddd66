//! The stand-in of the service that owns users, roles, keys and sessions.

use nexus_api::access::v1::access_service_server::AccessService;
use nexus_api::access::v1::*;
use tonic::{Request, Status};

use super::{Answer, KEY, Shared};

fn not_found(what: &str) -> Status {
    Status::not_found(format!("there is no {what}"))
}

#[tonic::async_trait]
impl AccessService for Shared {
    async fn create_api_key(&self, request: Request<CreateApiKeyRequest>) -> Answer<CreateApiKeyResponse> {
        self.caller("CreateApiKey", &request)?;
        let request = request.into_inner();
        let key = ApiKey {
            id: "k1".into(),
            description: request.description.clone(),
            user: "anna".into(),
            grants: request.grants.clone(),
            queues: request.queues.clone(),
            ..ApiKey::default()
        };
        self.state().keys.push((request, key.clone()));
        Ok(tonic::Response::new(CreateApiKeyResponse {
            api_key: Some(key),
            secret: KEY.into(),
        }))
    }

    async fn get_api_key(&self, request: Request<GetApiKeyRequest>) -> Answer<GetApiKeyResponse> {
        self.caller("GetApiKey", &request)?;
        let id = request.into_inner().key;
        let found = self
            .state()
            .keys
            .iter()
            .find(|(_, key)| key.id == id)
            .map(|(_, key)| key.clone());
        let api_key = Some(found.ok_or_else(|| not_found("key"))?);
        Ok(tonic::Response::new(GetApiKeyResponse { api_key }))
    }

    async fn list_api_keys(&self, request: Request<ListApiKeysRequest>) -> Answer<ListApiKeysResponse> {
        self.caller("ListApiKeys", &request)?;
        let request = request.into_inner();
        let keys = self.state().keys.iter().map(|(_, key)| key.clone()).collect::<Vec<_>>();
        let shown = |key: &ApiKey| request.show_ended || key.revoke_time.is_none();
        Ok(tonic::Response::new(ListApiKeysResponse {
            api_keys: keys.into_iter().filter(shown).collect(),
            next_page_token: "next".into(),
        }))
    }

    async fn revoke_api_key(&self, request: Request<RevokeApiKeyRequest>) -> Answer<RevokeApiKeyResponse> {
        self.caller("RevokeApiKey", &request)?;
        let id = request.into_inner().key;
        let mut state = self.state();
        let (_, key) = state
            .keys
            .iter_mut()
            .find(|(_, key)| key.id == id)
            .ok_or_else(|| not_found("key"))?;
        key.revoke_time = Some(nexus_api::time::timestamp(1_000_000));
        Ok(tonic::Response::new(RevokeApiKeyResponse {
            api_key: Some(key.clone()),
        }))
    }

    async fn create_user(&self, request: Request<CreateUserRequest>) -> Answer<CreateUserResponse> {
        self.caller("CreateUser", &request)?;
        let request = request.into_inner();
        let user = User {
            name: request.name,
            display_name: request.display_name,
            kind: request.kind,
            grants: request.grants,
            has_password: !request.password.is_empty(),
            ..User::default()
        };
        let mut state = self.state();
        state.users.push(user.clone());
        state.passwords.push(request.password);
        Ok(tonic::Response::new(CreateUserResponse { user: Some(user) }))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Answer<GetUserResponse> {
        self.caller("GetUser", &request)?;
        let name = request.into_inner().user;
        let found = self.state().users.iter().find(|user| user.name == name).cloned();
        let user = Some(found.ok_or_else(|| not_found("user"))?);
        Ok(tonic::Response::new(GetUserResponse { user }))
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        self.caller("ListUsers", &request)?;
        Ok(tonic::Response::new(ListUsersResponse {
            users: self.state().users.clone(),
            next_page_token: String::new(),
        }))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Answer<UpdateUserResponse> {
        self.caller("UpdateUser", &request)?;
        let request = request.into_inner();
        let mut state = self.state();
        let user = state.users.iter_mut().find(|user| user.name == request.user);
        let user = user.ok_or_else(|| not_found("user"))?;
        for path in request.update_mask.expect("a mask").paths {
            match path.as_str() {
                "display_name" => user.display_name.clone_from(&request.display_name),
                "grants" => user.grants.clone_from(&request.grants),
                "disabled" => user.disabled = request.disabled,
                other => panic!("{other}"),
            }
        }
        Ok(tonic::Response::new(UpdateUserResponse {
            user: Some(user.clone()),
        }))
    }

    async fn set_user_password(&self, request: Request<SetUserPasswordRequest>) -> Answer<SetUserPasswordResponse> {
        self.caller("SetUserPassword", &request)?;
        self.state().passwords.push(request.into_inner().new_password);
        Ok(tonic::Response::new(SetUserPasswordResponse {}))
    }

    async fn delete_user(&self, request: Request<DeleteUserRequest>) -> Answer<DeleteUserResponse> {
        self.caller("DeleteUser", &request)?;
        let name = request.into_inner().user;
        self.state().users.retain(|user| user.name != name);
        Ok(tonic::Response::new(DeleteUserResponse {}))
    }

    async fn create_role(&self, request: Request<CreateRoleRequest>) -> Answer<CreateRoleResponse> {
        self.caller("CreateRole", &request)?;
        let request = request.into_inner();
        let role = Role {
            name: request.name,
            description: request.description,
            permissions: request.permissions,
            ..Role::default()
        };
        self.state().roles.push(role.clone());
        Ok(tonic::Response::new(CreateRoleResponse { role: Some(role) }))
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Answer<GetRoleResponse> {
        self.caller("GetRole", &request)?;
        let name = request.into_inner().role;
        let found = self.state().roles.iter().find(|role| role.name == name).cloned();
        let role = Some(found.ok_or_else(|| not_found("role"))?);
        Ok(tonic::Response::new(GetRoleResponse { role }))
    }

    async fn list_roles(&self, request: Request<ListRolesRequest>) -> Answer<ListRolesResponse> {
        self.caller("ListRoles", &request)?;
        Ok(tonic::Response::new(ListRolesResponse {
            roles: self.state().roles.clone(),
            next_page_token: String::new(),
        }))
    }

    async fn update_role(&self, request: Request<UpdateRoleRequest>) -> Answer<UpdateRoleResponse> {
        self.caller("UpdateRole", &request)?;
        let request = request.into_inner();
        let mut state = self.state();
        let role = state.roles.iter_mut().find(|role| role.name == request.role);
        let role = role.ok_or_else(|| not_found("role"))?;
        for path in request.update_mask.expect("a mask").paths {
            match path.as_str() {
                "description" => role.description.clone_from(&request.description),
                "permissions" => role.permissions.clone_from(&request.permissions),
                other => panic!("{other}"),
            }
        }
        Ok(tonic::Response::new(UpdateRoleResponse {
            role: Some(role.clone()),
        }))
    }

    async fn delete_role(&self, request: Request<DeleteRoleRequest>) -> Answer<DeleteRoleResponse> {
        self.caller("DeleteRole", &request)?;
        let name = request.into_inner().role;
        self.state().roles.retain(|role| role.name != name);
        Ok(tonic::Response::new(DeleteRoleResponse {}))
    }

    async fn list_sessions(&self, request: Request<ListSessionsRequest>) -> Answer<ListSessionsResponse> {
        self.caller("ListSessions", &request)?;
        let session = |client: &String| Session {
            id: "s1".into(),
            user: "anna".into(),
            method: LoginMethod::Password.into(),
            client: client.clone(),
            ..Session::default()
        };
        Ok(tonic::Response::new(ListSessionsResponse {
            sessions: self.state().clients.iter().map(session).collect(),
            next_page_token: String::new(),
        }))
    }

    async fn revoke_session(&self, request: Request<RevokeSessionRequest>) -> Answer<RevokeSessionResponse> {
        self.caller("RevokeSession", &request)?;
        self.state().sessions.clear();
        Ok(tonic::Response::new(RevokeSessionResponse {}))
    }
}
